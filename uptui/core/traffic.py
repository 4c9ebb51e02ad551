"""Byte counters and their time series; the owner ticks them once a second."""

from collections import deque
from collections.abc import Iterable
from typing import Protocol

SECONDS = 60
MINUTES = 24 * 60


class ByteCounter(Protocol):
    """Where bytes of a client are counted."""

    def count_received(self, size: int) -> None:
        """`size` bytes came from the client."""
        ...

    def count_sent(self, size: int) -> None:
        """`size` bytes go to the client."""
        ...


class Series:
    """A cumulative counter with 60 one-second and 1440 one-minute differences."""

    def __init__(self) -> None:
        self.total = 0
        self._at_second = 0
        self._at_minute = 0
        self._ticks = 0
        self._seconds: deque[int] = deque(maxlen=SECONDS)
        self._minutes: deque[int] = deque(maxlen=MINUTES)

    def tick(self) -> None:
        """Close the current second."""
        self._seconds.append(self.total - self._at_second)
        self._at_second = self.total
        self._ticks += 1
        if self._ticks % 60 == 0:
            self._minutes.append(self.total - self._at_minute)
            self._at_minute = self.total

    @property
    def rate(self) -> float:
        """Bytes per second over the last three closed seconds."""
        recent = list(self._seconds)[-3:]
        return sum(recent) / len(recent) if recent else 0.0

    @property
    def seconds(self) -> list[int]:
        return list(self._seconds)

    @property
    def minutes(self) -> list[int]:
        return list(self._minutes)


class Meter:
    """Both directions of one client, or of everybody."""

    __slots__ = ("parents", "received", "sent")

    def __init__(self, parents: Iterable["Meter"] = ()) -> None:
        self.received = Series()
        """Bytes from the client."""
        self.sent = Series()
        """Bytes to the client."""
        self.parents = tuple(parents)

    def count_received(self, size: int) -> None:
        self.received.total += size
        for parent in self.parents:
            parent.received.total += size

    def count_sent(self, size: int) -> None:
        self.sent.total += size
        for parent in self.parents:
            parent.sent.total += size

    def tick(self) -> None:
        self.received.tick()
        self.sent.tick()
