"""Fair sharing of a byte rate between the streams that want it; pure arithmetic, `now` passed in.

Each stream owns a token bucket that is filled with an equal part of the whole rate. A stream that
does not use its part leaves it to the others, because idle streams are not counted.
"""

import heapq
import itertools
from dataclasses import dataclass
from typing import Final

BURST: Final = 0.25
"""Seconds of its part that a stream may use at once."""
IDLE: Final = 2.0
"""Seconds without bytes after which a stream no longer counts as wanting a part."""


@dataclass(slots=True)
class _Bucket:
    """What one stream owes; `stream` is None once it has left."""

    stream: object | None
    seen: float
    debt: float = 0.0
    until: float = 0.0
    """When it no longer counts, should it move nothing more: its pause and IDLE are over."""


class FairShare:
    """Paces streams so that together they move at most `rate` bytes per second.

    A call costs the same however many streams there are: each stands in a queue once, by the time
    at which it might have become idle, and is looked at only then.
    """

    def __init__(self, rate: float) -> None:
        """`rate` in bytes per second, above 0."""
        if rate <= 0:
            raise ValueError("a rate is above 0 bytes per second")
        self._rate = rate
        self._buckets: dict[object, _Bucket] = {}
        self._queue: list[tuple[float, int, _Bucket]] = []
        self._numbers = itertools.count()

    @property
    def part(self) -> float:
        """Bytes per second of each stream that counts now."""
        return self._rate / max(1, len(self._buckets))

    def wait_after(self, stream: object, count: int, now: float) -> float:
        """Seconds that `stream` must pause reading, having just moved `count` bytes."""
        self._forget_idle(now)
        bucket = self._buckets.get(stream)
        fresh = bucket is None
        if bucket is None:
            bucket = self._buckets[stream] = _Bucket(stream, now)
        part = self.part
        bucket.debt = max(0.0, bucket.debt - (now - bucket.seen) * part) + count
        bucket.seen, bucket.until = now, now + IDLE + bucket.debt / part
        if fresh:
            self._enqueue(bucket)
        return max(0.0, bucket.debt / part - BURST)

    def leave(self, stream: object) -> None:
        """The stream ended; its part goes to the others."""
        bucket = self._buckets.pop(stream, None)
        if bucket is not None:
            bucket.stream = None

    def _enqueue(self, bucket: _Bucket) -> None:
        heapq.heappush(self._queue, (bucket.until, next(self._numbers), bucket))

    def _forget_idle(self, now: float) -> None:
        while self._queue and self._queue[0][0] < now:
            bucket = heapq.heappop(self._queue)[2]
            if bucket.stream is None:
                continue
            if bucket.until < now:
                self.leave(bucket.stream)
            else:
                self._enqueue(bucket)
