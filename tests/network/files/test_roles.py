"""What roles allow, roots that links cannot leave, and errors as OpenSSH words them."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.files.host import Running, running
from uptui.core.roles import DEVELOPER, VIEWER, Capability

READER = replace(DEVELOPER, name="reader", capabilities=frozenset({Capability.READ}))


@pytest.fixture
async def jail(short_dir: Path) -> AsyncIterator[Running]:
    """A host whose client is confined to `root`, beside which lies `secret`."""
    (short_dir / "root" / "sub").mkdir(parents=True)
    (short_dir / "secret").write_text("secret")
    (short_dir / "root" / "plain").write_text("plain")
    (short_dir / "root" / "out").symlink_to("..")
    (short_dir / "root" / "outfile").symlink_to(short_dir / "secret")
    (short_dir / "root" / "in").symlink_to(short_dir / "root" / "sub" / ".." / "plain")
    (short_dir / "root" / "loop").symlink_to("loop")
    role = replace(DEVELOPER, name="jailed", files_root=str(short_dir / "root"))
    async with running(short_dir, role=role) as host:
        yield host


@pytest.mark.parametrize(
    "command",
    [
        "get {d}/secret x",
        "get {d}/root/../secret x",
        "get {d}/root/out/secret x",
        "get {d}/root/outfile x",
        "get out/secret x",
        "get /etc/passwd x",
        "put {d}/ssh_config {d}/planted",
        "put {d}/ssh_config out/planted",
        "put {d}/ssh_config outfile",
        "rename plain out/planted",
        "ln {d}/secret stolen",
        "chmod 777 outfile",
        "chmod 777 {d}/secret",
        "rm out/secret",
        "mkdir out/planted",
        "ls {d}",
        "cd ..",
        "df /",
    ],
)
async def test_nothing_leads_out(jail: Running, command: str) -> None:
    d = jail.directory
    before = sorted(p.name for p in d.iterdir()), (d / "secret").stat()
    result = await jail.sftp(command.format(d=d))
    assert result.code == 1, result
    after = sorted(p.name for p in d.iterdir()), (d / "secret").stat()
    assert before == after
    assert (d / "secret").read_text() == "secret"


async def test_life_within_a_root(jail: Running) -> None:
    d = jail.directory
    result = await jail.sftp(
        "pwd", "get in x", "get sub/../plain y", f"put x {d}/root/sub/new", "rename sub/new sub/n2",
        "ln -s n2 sub/l", "chmod 600 sub/l", "cd sub", "ls -l", "rm l", "cd ..", "-rmdir none",
        "df .", "-get loop z",
    )  # fmt: skip
    assert result.code == 0, result
    assert f"{d}/root".encode() in result.out
    assert (d / "x").read_text() == (d / "y").read_text() == "plain"
    assert (d / "root" / "sub" / "n2").stat().st_mode & 0o777 == 0o600


async def test_reader_cannot_write(box: Running) -> None:
    d = box.directory
    (d / "f").write_text("content")
    box.gate.change_role(READER)
    assert (await box.sftp(f"get {d}/f copy", f"ls -l {d}")).code == 0
    for command in (f"put f {d}/g", f"rm {d}/f", f"mkdir {d}/m", f"chmod 777 {d}/f",
                    f"rename {d}/f {d}/g", f"ln -s x {d}/l", f"put f {d}/f"):  # fmt: skip
        result = await box.sftp(command)
        assert result.code == 1, command
        assert b"ermission denied" in result.err or b"does not allow" in result.err, result
    assert (d / "f").read_text() == "content"


async def test_viewer_gets_no_files_at_all(box: Running) -> None:
    box.gate.change_role(VIEWER)
    result = await box.sftp("pwd")
    assert result.code != 0


async def test_role_change_ends_a_running_upload(box: Running) -> None:
    d = box.directory
    with (d / "big").open("wb") as file:
        file.truncate(400_000_000)
    task = asyncio.create_task(box.run("scp", "-F", box.config, "big", f"box:{d}/there"))
    async with asyncio.timeout(20):
        while not (d / "there").exists():
            await asyncio.sleep(0.005)
    box.gate.change_role(READER)
    result = await task
    assert result.code != 0
    assert (d / "there").stat().st_size < 400_000_000


async def test_errors_as_openssh_words_them(box: Running) -> None:
    d = box.directory
    (d / "f").write_bytes(b"x" * 100_000)
    (d / "dir").mkdir()
    missing = await box.sftp(f"get {d}/none x")
    assert b"not found" in missing.err or b"No such file" in missing.err
    full = await box.sftp(f"put {d}/f /dev/full")
    assert full.code == 1
    assert b"Failure" in full.err or b"No space left" in full.err, full
    assert (await box.sftp(f"rmdir {d}/dir/none")).code == 1
    assert (await box.sftp(f"mkdir {d}/dir")).code == 1
    over = await box.sftp(f"rename {d}/none {d}/f")
    assert b"No such file" in over.err


async def test_full_disk_is_recorded(box: Running) -> None:
    (box.directory / "f").write_bytes(os.urandom(100_000))
    await box.sftp("put f /dev/full")
    notes = box.gate.events("file.upload")
    assert notes[-1].data["path"] == "/dev/full"
    assert notes[-1].level == "warning"
    assert "space" in str(notes[-1].data["result"])


async def test_what_a_root_or_a_role_refuses_is_recorded_once(jail: Running) -> None:
    d = jail.directory
    await jail.sftp(f"-get {d}/secret x", f"-get {d}/secret x", "-get outfile x")
    await jail.run("scp", "-F", jail.config, "-O", f"box:{d}/root/out/secret", f"{d}/x")
    paths = [str(note.data["path"]) for note in jail.gate.events("file.refused")]
    assert [path.removeprefix(str(d)) for path in paths] == [
        "/secret", "/root/outfile", "/root/out/secret",
    ]  # fmt: skip
    assert jail.gate.events("file.refused")[0].data["result"] == "Permission denied"


async def test_a_refused_upload_of_a_reader_is_recorded(box: Running) -> None:
    box.gate.change_role(READER)
    target = box.directory / "new"
    assert (await box.sftp(f"put {box.directory}/ssh_config {target}")).code != 0
    [note] = box.gate.events("file.refused")
    assert note.data["path"] == str(target)
    assert "not allow you to write" in str(note.data["result"])
