"""Requests that OpenSSH's sftp never sends, answered as sftp-server answers them."""

import asyncio
import errno
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.files.host import Running
from tests.network.files.packets import DEADLINE, Packets, copy_data, text
from uptui.core.roles import DEVELOPER, Capability
from uptui.host.sshd.files.codec import Kind, Status


@pytest.fixture
async def process(box: Running) -> AsyncIterator[asyncio.subprocess.Process]:
    """OpenSSH's ssh with an SFTP session."""
    process = await asyncio.create_subprocess_exec(
        *box.ssh("-s", "box", "sftp"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=box.env,
    )
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


@pytest.fixture
async def packets(process: asyncio.subprocess.Process) -> Packets:
    assert process.stdin is not None
    assert process.stdout is not None
    return await Packets(process.stdout, process.stdin).greet()


async def test_reads_beyond_every_file_and_of_nothing(box: Running, packets: Packets) -> None:
    (box.directory / "f").write_bytes(b"contents")
    handle = await packets.open(box.directory / "f", 1)
    for offset, size, status in (
        (8, 10, Status.EOF),
        ((1 << 63) - 1, 10, Status.BAD_MESSAGE),
        (1 << 63, 10, Status.BAD_MESSAGE),
    ):
        at = struct.pack(">QI", offset, size)
        assert await packets.status(Kind.READ, handle, at) == status, offset
    assert await packets.ask(Kind.READ, handle, struct.pack(">QI", 0, 0)) == (Kind.DATA, text(b""))
    assert await packets.ask(Kind.READ, handle, struct.pack(">QI", 4, 99)) == (
        Kind.DATA, text(b"ents"),
    )  # fmt: skip


async def test_a_file_system_that_cannot_say_whether_a_read_waits_is_asked_once(
    box: Running, packets: Packets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tmpfs and overlayfs, which most containers have: a refused call for each file costs."""
    asked: list[int] = []
    preadv = os.preadv

    def counted(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        asked.append(flags)
        if flags:
            raise OSError(errno.EOPNOTSUPP, "as such a file system says")
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", counted)
    for name in ("a", "b", "c"):
        file = box.directory / name
        file.write_bytes(name.encode())
        handle = await packets.open(file, 1)
        wanted = struct.pack(">QI", 0, 9)
        assert await packets.ask(Kind.READ, handle, wanted) == (Kind.DATA, text(name.encode()))
    assert asked == [os.RWF_NOWAIT, 0, 0, 0]


async def test_a_closed_handle_is_not_there(box: Running, packets: Packets) -> None:
    handle = await packets.open(box.directory / "f", 1 | 2 | 8)
    assert await packets.status(Kind.CLOSE, handle) == Status.OK
    assert await packets.status(Kind.CLOSE, handle) == Status.NO_SUCH_FILE
    fsync = text(b"fsync@openssh.com")
    assert await packets.status(Kind.EXTENDED, fsync, handle) == Status.NO_SUCH_FILE


async def test_a_file_is_not_copied_into_itself_by_any_name(box: Running, packets: Packets) -> None:
    """It would grow until the disk is full."""
    d = box.directory
    (d / "f").write_bytes(b"contents")
    (d / "link").symlink_to("f")
    os.link(d / "f", d / "hard")
    source = await packets.open(d / "f", 1)
    targets = [source, *[await packets.open(d / name, 2) for name in ("f", "link", "hard")]]
    for to in targets:
        for length in (4, 0):
            request = copy_data(source, 0, length, to, 4)
            assert await packets.status(Kind.EXTENDED, request) == Status.FAILURE
    assert (d / "f").read_bytes() == b"contents"


async def test_the_end_of_a_copy_is_where_it_was_at_its_beginning(
    box: Running, packets: Packets
) -> None:
    d = box.directory
    (d / "f").write_bytes(b"contents")
    target = await packets.open(d / "g", 2 | 8)
    zeros = await packets.open(Path("/dev/zero"), 1)
    copy = copy_data(zeros, 0, 0, target, 0)
    assert await packets.status(Kind.EXTENDED, copy) == Status.FAILURE
    assert await packets.status(Kind.EXTENDED, copy_data(zeros, 0, 9, target, 0)) == Status.OK
    assert (d / "g").read_bytes() == bytes(9)
    told = await packets.open(Path("/proc/self/status"), 1)
    assert await packets.status(Kind.EXTENDED, copy_data(told, 0, 0, target, 0)) == Status.OK
    assert (d / "g").read_bytes().startswith(b"Name:")
    source = await packets.open(d / "f", 1)
    assert await packets.status(Kind.EXTENDED, copy_data(source, 99, 0, target, 0)) == Status.OK


async def test_a_copy_ends_with_the_right_to_it(box: Running, packets: Packets) -> None:
    with (box.directory / "huge").open("wb") as file:
        file.truncate(1 << 42)
    source = await packets.open(box.directory / "huge", 1)
    target = await packets.open(Path("/dev/null"), 2)
    asking = asyncio.create_task(packets.status(Kind.EXTENDED, copy_data(source, 0, 0, target, 0)))
    await asyncio.sleep(0.3)
    assert not asking.done()
    box.gate.change_role(replace(DEVELOPER, capabilities=frozenset({Capability.READ})))
    assert await asking == Status.PERMISSION_DENIED


async def test_copying_more_than_there_is_copies_what_there_is(
    box: Running, packets: Packets
) -> None:
    (box.directory / "f").write_bytes(b"0123456789")
    source = await packets.open(box.directory / "f", 1)
    target = await packets.open(box.directory / "g", 2 | 8)
    assert await packets.status(Kind.EXTENDED, copy_data(source, 4, 1000, target, 0)) == Status.OK
    assert (box.directory / "g").read_bytes() == b"456789"


async def test_the_real_path_behind_a_link_to_nothing(box: Running, packets: Packets) -> None:
    d = box.directory.resolve()
    (d / "link").symlink_to("nowhere")
    (d / "far").symlink_to("none/nowhere")
    answer, body = await packets.ask(Kind.REALPATH, text(bytes(d / "link")))
    assert answer == Kind.NAME
    assert text(bytes(d / "nowhere")) in body
    for name in (b"far", b"none/", b"none/none"):
        path = text(bytes(d) + b"/" + name)
        assert await packets.status(Kind.REALPATH, path) == Status.NO_SUCH_FILE


async def test_no_path_is_the_working_directory_for_realpath_only(
    box: Running, packets: Packets
) -> None:
    here = await packets.ask(Kind.REALPATH, text(b"."))
    assert here[0] == Kind.NAME
    assert await packets.ask(Kind.REALPATH, text(b"")) == here
    nothing = text(b"")
    for kind, rest in (
        (Kind.STAT, b""), (Kind.LSTAT, b""), (Kind.OPENDIR, b""), (Kind.READLINK, b""),
        (Kind.OPEN, struct.pack(">II", 1, 0)), (Kind.MKDIR, bytes(4)), (Kind.RMDIR, b""),
        (Kind.RENAME, text(b"x")), (Kind.SETSTAT, bytes(4)),
    ):  # fmt: skip
        assert await packets.status(kind, nothing, rest) == Status.NO_SUCH_FILE, kind


async def test_homes(box: Running, packets: Packets) -> None:
    home = text(b"home-directory")
    answer, body = await packets.ask(Kind.EXTENDED, home, text(b"root"))
    assert (answer, text(b"/root") in body) == (Kind.NAME, True)
    assert await packets.status(Kind.EXTENDED, home, text(b"nobody-here")) == Status.FAILURE


async def test_a_packet_that_is_cut_short_ends_the_session_as_sftp_server_would(
    packets: Packets, process: asyncio.subprocess.Process
) -> None:
    await packets.send(struct.pack(">BI", Kind.STAT, 7) + struct.pack(">I", 9) + b"abc")
    async with asyncio.timeout(DEADLINE):
        assert await process.wait() == 255


async def test_long_names_are_laid_out_as_by_sftp_server(box: Running, packets: Packets) -> None:
    (box.directory / "only").mkdir()
    answer, handle = await packets.ask(Kind.OPENDIR, text(bytes(box.directory / "only")))
    assert answer == Kind.HANDLE
    answer, body = await packets.ask(Kind.READDIR, handle)
    assert answer == Kind.NAME
    assert b"drwxr-xr-x    2 " in body
