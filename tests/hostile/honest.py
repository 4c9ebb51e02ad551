"""An honest session beside an attack: one ssh that echoes lines, one that moves bytes.

Run as a process of its own, so that a busy test does not look like a slow server:
`with beside(argv) as watch: attack()`; leaving the block asserts that the session noticed nothing.
"""

import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

LINE: Final = 64
INTERVAL: Final = 0.01
"""Seconds between two lines."""
BULK: Final = 128 * 1024
BULK_INTERVAL: Final = 0.1
CALM: Final = 1.5
"""Seconds that are measured before the attack."""
GOOD_P99: Final = 0.1
"""Seconds within which 99 of 100 echoes are back, beside any attack."""
SLOWER: Final = 3.0
"""Or this many times what it took before the attack, or what the machine itself takes meanwhile."""
HOPS: Final = 4
"""Programs of the local way that the machine is judged by: as many as an echo passes."""
PATIENCE: Final = 60.0


def p99(times: Sequence[float]) -> float:
    """The time within which 99 of 100 were back, in seconds."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


@dataclass
class Watch:
    """What the honest session saw; filled in when the block is left."""

    before: float = 0.0
    """p99 of an echo before the attack, in seconds."""
    during: float = 0.0
    machine: float = 0.0
    """p99 meanwhile of an echo through as many local programs and nothing of ours, in seconds."""
    echoes: int = 0
    moved: int = 0
    """Bytes that came back with the right digest."""
    problems: list[str] = field(default_factory=list[str])

    def check(self) -> None:
        """Raises AssertionError when the session noticed something."""
        assert not self.problems, self.problems
        allowed = max(GOOD_P99, SLOWER * self.before, SLOWER * self.machine)
        assert self.during <= allowed, (
            f"echo p99 {self.during:.3f} s, before {self.before:.3f} s, "
            f"of the machine itself {self.machine:.3f} s"
        )


@contextlib.contextmanager
def beside(argv: Sequence[str], env: dict[str, str] | None = None) -> Generator[Watch]:
    """Keep `argv` (ssh and where to, without a command) busy during the block, then judge it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.honest", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    watch = Watch()
    try:
        ready = process.stdout.readline()
        assert ready.strip() == "ready", f"the honest session did not start: {ready!r}"
        yield watch
        process.stdin.close()
        seen = json.loads(process.stdout.read())
        for name, value in seen.items():
            setattr(watch, name, value)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    watch.check()


class _Session:
    """A command that echoes, whose answers are read by the caller."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into: IO[bytes] = self.process.stdin
        self.out: IO[bytes] = self.process.stdout

    def exchange(self, data: bytes) -> bytes:
        """Send, and read as much again."""
        sender = threading.Thread(target=self._send, args=(data,))
        sender.start()
        back = bytearray()
        while len(back) < len(data):
            piece = self.out.read(len(data) - len(back))
            if not piece:
                break
            back += piece
        sender.join()
        return bytes(back)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        with contextlib.suppress(BrokenPipeError):
            while view:
                view = view[self.into.write(view) or 0 :]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class _Observer:
    """Both sessions, each in a thread of its own."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._echo, self._bulk = _Session([*argv, "cat"]), _Session([*argv, "cat"])
        self._local = _Session(["sh", "-c", " | ".join(["cat"] * HOPS)])
        self._stop = threading.Event()
        self.times: list[float] = []
        self.local: list[float] = []
        self.calm = 0
        """How many of the times are from before the attack."""
        self.problems: list[str] = []
        self.moved = 0
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._lines, self._bytes)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        time.sleep(CALM)
        self.calm = len(self.times)
        if not self.calm:
            self.problems.append("no echo before the attack")

    def end(self) -> dict[str, object]:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.problems.append(f"no answer for {PATIENCE:g} s")
        self._echo.close()
        self._bulk.close()
        self._local.close()
        return {
            "before": p99(self.times[: self.calm] or [0.0]),
            "during": p99(self.times[self.calm :] or [0.0]),
            "machine": p99(self.local[self.calm :] or [0.0]),
            "echoes": len(self.times),
            "moved": self.moved,
            "problems": self.problems,
        }

    def _lines(self) -> None:
        while not self._stop.is_set():
            line = secrets.token_hex(LINE // 2).encode() + b"\n"
            started = time.monotonic()
            back = self._echo.exchange(line)
            between = time.monotonic()
            self._local.exchange(line)
            self.local.append(time.monotonic() - between)
            self.times.append(between - started)
            if back != line:
                self.problems.append(f"the echo broke: {back!r}")
                return
            time.sleep(INTERVAL)

    def _bytes(self) -> None:
        while not self._stop.is_set():
            data = os.urandom(BULK)
            back = self._bulk.exchange(data)
            if hashlib.sha256(back).digest() != hashlib.sha256(data).digest():
                self.problems.append(f"the transfer broke after {len(back)} of {len(data)} bytes")
                return
            self.moved += len(data)
            time.sleep(BULK_INTERVAL)


def main() -> None:
    """Watch until stdin ends, then print what was seen as JSON."""
    observer = _Observer(sys.argv[1:])
    observer.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(json.dumps(observer.end()))


if __name__ == "__main__":
    main()
