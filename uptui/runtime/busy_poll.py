"""Decides when an event loop looks a few times before it sleeps (`selector` does it).

Being woken costs a process tens of microseconds, most on a virtual machine, which gives idle
processors back; who asks and waits for the answer before asking again pays that at every hop. While
small messages follow each other faster than that, the loop asks the kernel again instead of
sleeping, as Linux does for idle virtual processors (cpuidle's haltpoll governor, whose rule of
growing and shrinking this is). A relay does so in bulk traffic, too, but only for the shortest
waits; a host does not, because its programs need the processor. Nothing is polled over a network
whose answers take longer, or where no processor is to spare.
"""

from typing import Final

LONGEST: Final = 200e-6
"""Seconds for which a wait is polled at most; a longer wait is not worth it."""
LONGEST_IN_BULK: Final = 50e-6
"""The same in bulk traffic, where that is polled at all."""
FIRST: Final = 1 / 4
"""What part of that is polled after one short wait; it doubles with each further one and halves
after a long one."""
HEAVY: Final = 32 * 1024
"""Bytes between two waits, with half of those before and so on, that make bulk of the traffic: its
pace is not that of waking up."""


class Gait:
    """Waits of one kind: for how long the next is polled, from how long the last ones were."""

    __slots__ = ("_longest", "budget")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self.budget = 0.0
        """Seconds."""

    def waited(self, seconds: float) -> None:
        """So long took the last, polled or not."""
        first = self._longest * FIRST
        if seconds <= self._longest:
            self.budget = min(self._longest, max(first, 2 * self.budget))
        else:
            self.budget = self.budget / 2 if self.budget / 2 >= first else 0.0


class Pace:
    """Decides for how long the next wait is polled, from what passed and how long waits were.

    After a question and after an answer waits differ: the echo of a key comes soon, the next key
    does not. So each has its own gait, and bulk has a third.
    """

    def __init__(self) -> None:
        self._asked, self._answered, self._bulk = Gait(LONGEST), Gait(LONGEST), Gait(0.0)
        self._last = self._now = self._asked
        self._moved = 0
        """Bytes since the last wait."""
        self._weight = 0

    def poll_in_bulk(self) -> None:
        """Poll the shortest waits in bulk traffic as well."""
        self._bulk = Gait(LONGEST_IN_BULK)

    def asked(self, size: int) -> None:
        """`size` bytes from a client have passed."""
        self._last = self._asked
        self._moved += size

    def answered(self, size: int) -> None:
        """`size` bytes to a client have passed."""
        self._last = self._answered
        self._moved += size

    def budget(self) -> float | None:
        """Seconds for which the next wait is polled; None when it says nothing of the pace."""
        moved, self._moved = self._moved, 0
        if not moved:
            return None
        self._weight = self._weight // 2 + moved
        self._now = self._last if self._weight < HEAVY else self._bulk
        return self._now.budget

    def waited(self, seconds: float) -> None:
        """So long took that wait, polled or not."""
        self._now.waited(seconds)


PACE: Final = Pace()
"""That of this process, which has one loop."""
