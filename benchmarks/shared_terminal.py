"""How long the typist of a busy shared terminal waits for the echo while fifty others watch.

Typist and viewers are SSH clients in processes of their own, through the relay's direct port; some
viewers have windows of another size. The figure of sshd is the same program with nobody watching.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import asyncssh
import msgspec

from benchmarks.measure import Row
from benchmarks.rig import Rig, Target

BUSY: Final = r"""
import os, select, sys, termios, tty
fd = 0
tty.setraw(fd)
frame = 0
while True:
    ready, _, _ = select.select([fd], [], [], 1 / 30)
    if ready:
        keys = os.read(fd, 1024)
        os.write(1, b"".join(b"\x1b[24;1H<" + bytes([key]) + b">" for key in keys))
        continue
    frame += 1
    rows = (b"\x1b[%d;1H\x1b[38;5;%dm%06d %s" % (y, 16 + (frame + y) % 200, frame, b"=" * 66)
            for y in range(1, 23))
    os.write(1, b"".join(rows))
"""
SECONDS: Final = 20.0
PAUSE_S: Final = 0.05
VIEWERS: Final = 50
OTHER_SIZES: Final = 10
"""Viewers whose window has not the terminal's size."""

Held = tuple[Any, Any]
"""Connection and channel of a client."""
_ssh: Any = asyncssh  # its client side is only partly typed


class Watching(asyncssh.SSHClientSession[bytes]):
    """Swallows output, and knows when a text came."""

    def __init__(self) -> None:
        self.bytes = 0
        self.wanted = b"000001 ==="
        self.tail = b""
        self.seen = asyncio.Event()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        self.bytes += len(data)
        if self.wanted:
            self.tail = self.tail[-16:] + data
            if self.wanted in self.tail:
                self.wanted = b""
                self.seen.set()


async def join(
    target: argparse.Namespace, size: tuple[int, int], command: str | None = None
) -> tuple[Held, Watching]:
    connection = await _ssh.connect(
        target.host, target.port, username=target.user, client_keys=[target.key],
        known_hosts=None, config=[], agent_path=None,
    )  # fmt: skip
    channel, session = await connection.create_session(
        Watching, command, term_type="xterm-256color", term_size=size, encoding=None
    )
    return (connection, channel), session


async def told() -> None:
    """Say that all is ready, and wait for the word."""
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def watch(target: argparse.Namespace) -> None:
    """Hold viewers; prints how many bytes the one with the fewest got."""
    held: list[Held] = []
    sessions: list[Watching] = []
    for number in range(VIEWERS):
        size = (60 + number % 7, 20) if number < OTHER_SIZES else (80, 24)
        keep, session = await join(target, size)
        held.append(keep)
        sessions.append(session)
    await told()
    print(min(session.bytes for session in sessions), flush=True)


async def echo(held: Held, session: Watching, letter: bytes) -> float:
    """Milliseconds until a letter comes back."""
    session.wanted, session.tail = b"<" + letter + b">", b""
    session.seen.clear()
    began = time.perf_counter()
    held[1].write(letter)
    await asyncio.wait_for(session.seen.wait(), 20)
    return (time.perf_counter() - began) * 1000


async def type_keys(target: argparse.Namespace) -> None:
    """Type one letter after the other for a while; prints the milliseconds of each echo."""
    held, session = await join(target, (80, 24), target.run or None)
    if target.type:
        held[1].write(f"exec {target.type}\r".encode())
    await asyncio.wait_for(session.seen.wait(), 20)
    await echo(held, session, b"a")
    await told()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        times.append(await echo(held, session, b"%c" % (97 + len(times) % 26)))
        await asyncio.sleep(PAUSE_S)
    print(" ".join(f"{each:.3f}" for each in times), flush=True)


class Helper:
    """A process of this module that holds clients of a target."""

    def __init__(self, role: str, target: Target, key: Path, user: str, *more: str) -> None:
        pipe = subprocess.PIPE
        argv = [sys.executable, "-m", "benchmarks.shared_terminal", role]
        argv += ["--host", target.host, "--port", str(target.port), "--user", user]
        argv += ["--key", str(key), *more]
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a helper of the shared terminal's benchmark has failed")
        return line

    def figures(self) -> list[float]:
        """Give the word, and read what comes of it, smallest first."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return sorted(float(word) for word in self.line().split())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def invite(rig: Rig) -> str:
    """A user name by which anybody lands at the shared terminal to type."""
    argv = [sys.executable, "-m", "uptui", "invite", "everybody", "--role", "pair", "--json"]
    argv += ["--landing", "shared", "--uses", str(VIEWERS), "--any-key"]
    answer = subprocess.run(argv, env=rig.environment, capture_output=True, text=True, check=True)
    string = str(msgspec.json.decode(answer.stdout)["strings"]["ssh-port"])
    return string.rsplit(maxsplit=1)[-1].partition("@")[0]


def shared(rig: Rig) -> Iterator[Row]:
    """Key echo p50 and p99 of the typist."""
    script = rig.folder / "busy.py"
    script.write_text(BUSY)
    command = f"{sys.executable} -S {script}"
    key = rig.folder / "client"
    alone = Helper("typist", rig.sshd, key, rig.sshd.user, "--run", command)
    try:
        sshd = alone.figures()
    finally:
        alone.end()
    port, name = rig.ways["port"], invite(rig)
    typist = Helper("typist", port, key, name, "--type", command)
    viewers = Helper("viewers", port, key, name)
    try:
        times = typist.figures()
        if not viewers.figures()[0] > 0:
            raise RuntimeError("a viewer saw nothing")
    finally:
        typist.end()
        viewers.end()
    for word, pick in (("p50", statistics.median), ("p99", _p99)):
        wanted = "<= 20 ms" if word == "p99" else ""
        what = f"key echo {word}, busy shared terminal with {VIEWERS} viewers"
        yield Row(what, "ms", pick(sshd), pick(times), wanted)


def _p99(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=100)[98]


def main() -> None:
    parser = argparse.ArgumentParser(description="A helper of `python -m benchmarks`.")
    parser.add_argument("role", choices=("typist", "viewers"))
    for name in ("--host", "--user", "--key", "--run", "--type"):
        parser.add_argument(name, default="")
    parser.add_argument("--port", type=int)
    asked = parser.parse_args()
    asyncio.run(type_keys(asked) if asked.role == "typist" else watch(asked))


if __name__ == "__main__":
    main()
