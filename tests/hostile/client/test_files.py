"""Clients whose requests for files never end, beside people who work."""

import asyncio
import os
import struct
import time
from pathlib import Path
from typing import Any, cast

import asyncssh

from tests.hostile.client.roles import connected, share
from tests.hostile.honest import beside, p99
from tests.network.files.packets import Packets, copy_data, text
from tests.network.people.conftest import Crowd
from uptui.host.sshd.files.codec import Kind, Status

COPIES = 16
CALM = 1.0
"""Seconds within which an honest client's fsync is answered."""
FEW = 200
"""Descriptors."""
NAMES = 50_000
LISTINGS = 20
LITTLE = 24 * 1024
"""KiB that the daemon may grow by; all names of all listings would take 80 MB."""
READ, WRITE, CREATE = 1, 2, 8


async def sftp(client: asyncssh.SSHClientConnection) -> Packets:
    """A session in which anything can be asked."""
    opening = client.open_session(subsystem="sftp", encoding=None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    writer, reader, _ = cast("tuple[Any, Any, Any]", await opening)
    return await Packets(reader, writer).greet()


async def fsyncs(client: asyncssh.SSHClientConnection, file: Path, count: int) -> list[float]:
    """Seconds until each fsync, and a stat after it, was answered."""
    session = await sftp(client)
    handle = await session.open(file, WRITE | CREATE)
    times: list[float] = []
    for _ in range(count):
        started = time.monotonic()
        assert await session.status(Kind.EXTENDED, text(b"fsync@openssh.com"), handle) == Status.OK
        assert (await session.ask(Kind.STAT, text(bytes(file))))[0] == Kind.ATTRS
        times.append(time.monotonic() - started)
    return times


async def test_copies_without_end_delay_nobody(crowd: Crowd) -> None:
    """Sixteen sessions of one client copy a file of terabytes; they end with the client."""
    ready = await asyncio.to_thread(share, crowd, ("mallory", "reader"))
    huge, mine = crowd.folder / "huge", crowd.folder / "mine"
    with huge.open("wb") as file:
        file.truncate(1 << 42)
    honest = crowd.as_argv("alice", ready["strings"]["ssh"])
    async with connected(crowd, ready, "mallory") as mallory, connected(crowd, ready, "bob") as bob:
        sessions = [await sftp(mallory) for _ in range(COPIES)]
        with beside(honest):
            for session in sessions:
                source = await session.open(huge, READ)
                target = await session.open(Path("/dev/null"), WRITE)
                copy = copy_data(source, 0, 0, target, 0)
                await session.send(struct.pack(">BI", Kind.EXTENDED, 7) + copy)
            times = await fsyncs(bob, mine, 40)
        assert p99(times) < CALM, times


async def test_open_directories_hold_little(crowd: Crowd) -> None:
    """Twenty listings of a large directory, none of them read to its end, and one that is."""
    ready = await asyncio.to_thread(share, crowd, ("mallory", "reader"))
    large = crowd.folder / "large"
    large.mkdir()
    (large / "0").touch()
    for number in range(1, NAMES):
        os.link(large / "0", large / str(number))
    async with connected(crowd, ready, "mallory") as client:
        session = await sftp(client)
        before = resident(crowd)
        with beside(crowd.as_argv("alice", ready["strings"]["ssh"])):
            handle = b""
            for _ in range(LISTINGS):
                answer, handle = await session.ask(Kind.OPENDIR, text(bytes(large)))
                assert answer == Kind.HANDLE
                assert (await session.ask(Kind.READDIR, handle))[0] == Kind.NAME
            assert resident(crowd) - before < LITTLE
            listed = 100
            while (answer := await session.ask(Kind.READDIR, handle))[0] == Kind.NAME:
                listed += int.from_bytes(answer[1][:4], "big")
        assert listed == NAMES + 2


def resident(crowd: Crowd) -> int:
    """KiB of memory that the share has."""
    lines = Path(f"/proc/{crowd.processes[0].pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


async def test_one_client_does_not_take_all_descriptors(crowd: Crowd) -> None:
    """As many handles in as many sessions as it likes, where the process may have few."""
    crowd.under = ("/usr/bin/prlimit", f"--nofile={FEW}", *crowd.under)
    ready = await asyncio.to_thread(share, crowd, ("mallory", "reader"))
    async with connected(crowd, ready, "mallory") as client:
        opened = 0
        for _ in range(3):
            session = await sftp(client)
            answer = Kind.HANDLE
            while answer == Kind.HANDLE:
                answer, _ = await session.ask(Kind.OPENDIR, text(b"/"))
                opened += answer == Kind.HANDLE
        assert 0 < opened <= FEW // 4 // 2
        done = await asyncio.to_thread(crowd.as_ssh, "bob", ready["strings"]["ssh"], "echo", "in")
        assert done.stdout == "in\n", done.stderr
