"""A wire between two network namespaces, in user space: it delays, loses, doubles and swallows.

Run as a program, `python -m tests.faults.wire NEAR DEVICE FAR DEVICE`, with commands on stdin.
"""

import ctypes
import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.network.isolated.topology import Machine

MTU: Final = 1500
_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
MAX_QUEUED: Final = 20_000
"""Packets on the way; what comes on top is lost, as in a router."""


@dataclass
class Weather:
    """How the wire behaves now. Times in seconds, the others are parts of all packets."""

    delay: float = 0.0
    jitter: float = 0.0
    """Up to so much more, so that packets overtake one another."""
    loss: float = 0.0
    twice: float = 0.0
    swallow: float = 0.0
    """1 loses everything."""

    def arrivals(self, now: float, dice: random.Random) -> list[float]:
        """When a packet sent now arrives; empty when it does not."""
        if dice.random() < max(self.loss, self.swallow):
            return []
        copies = 2 if dice.random() < self.twice else 1
        return [now + self.delay + dice.random() * self.jitter for _ in range(copies)]


class Wire:
    """The process that is the wire, seen from a test."""

    def __init__(self, near: Machine, near_device: str, far: Machine, far_device: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.wire"),
                *(near.namespace, near_device, far.namespace, far_device),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set(self, **weather: float) -> None:
        """Change fields of Weather, at once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for name, value in weather.items():
            self._process.stdin.write(f"{name} {value}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.kill()
        self._process.wait()


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open("rb") as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def _tun(namespace: str, device: str) -> int:
    """A TUN device in that namespace; its packets are read and written at the descriptor."""
    _enter(Path("/run/netns") / namespace)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


class _Bridge:
    """Both ends, and the packets between them in the order of their arrival."""

    def __init__(self, ends: tuple[int, int]) -> None:
        self.weather = Weather()
        self._other = {ends[0]: ends[1], ends[1]: ends[0]}
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._dice = random.Random(1)
        self._selector = selectors.DefaultSelector()
        for end in ends:
            self._selector.register(end, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            now = time.monotonic()
            wait = max(0.0, self._queue[0][0] - now) if self._queue else None
            for key, _ in self._selector.select(wait):
                if key.fd == 0:
                    if not self._obey():
                        return
                else:
                    self._take(key.fd)
            self._deliver()

    def _obey(self) -> bool:
        line = sys.stdin.readline()
        if not line:
            return False
        name, value = line.split()
        setattr(self.weather, name, float(value))
        sys.stdout.write("done\n")
        sys.stdout.flush()
        return True

    def _take(self, end: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(end, 65536)
            except BlockingIOError:
                return
            if len(self._queue) >= MAX_QUEUED:
                continue
            for at in self.weather.arrivals(time.monotonic(), self._dice):
                self._count += 1
                heapq.heappush(self._queue, (at, self._count, self._other[end], packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, end, packet = heapq.heappop(self._queue)
            try:
                os.write(end, packet)
            except OSError:
                continue  # the device is down: as lost as on a real one


def main() -> None:
    """Be the wire until stdin ends."""
    near, near_device, far, far_device = sys.argv[1:]
    bridge = _Bridge((_tun(near, near_device), _tun(far, far_device)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    bridge.run()


if __name__ == "__main__":
    main()
