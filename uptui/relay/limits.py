"""Fair sharing of a byte rate between the streams that want it; pure arithmetic, `now` passed in.

Each stream owns a token bucket that is filled with an equal part of the whole rate. A stream that
does not use its part leaves it to the others, because idle streams are not counted.
"""

from typing import Final

BURST: Final = 0.25
"""Seconds of its part that a stream may use at once."""
IDLE: Final = 2.0
"""Seconds without bytes after which a stream no longer counts as wanting a part."""


class FairShare:
    """Paces streams so that together they move at most `rate` bytes per second."""

    def __init__(self, rate: float) -> None:
        """`rate` in bytes per second, above 0."""
        if rate <= 0:
            raise ValueError("a rate is above 0 bytes per second")
        self._rate = rate
        self._debts: dict[object, float] = {}
        self._seen: dict[object, float] = {}

    @property
    def part(self) -> float:
        """Bytes per second of each stream that counts now."""
        return self._rate / max(1, len(self._seen))

    def wait_after(self, stream: object, count: int, now: float) -> float:
        """Seconds that `stream` must pause reading, having just moved `count` bytes."""
        self._forget_idle(now)
        before = self._seen.get(stream, now)
        self._seen[stream] = now
        part = self.part
        earned = (now - before) * part
        debt = max(0.0, self._debts.get(stream, 0.0) - earned) + count
        self._debts[stream] = debt
        return max(0.0, debt / part - BURST)

    def leave(self, stream: object) -> None:
        """The stream ended; its part goes to the others."""
        self._seen.pop(stream, None)
        self._debts.pop(stream, None)

    def _forget_idle(self, now: float) -> None:
        part = self.part
        for stream, seen in list(self._seen.items()):
            if now - seen > IDLE + self._debts.get(stream, 0.0) / part:
                self.leave(stream)
