"""How long to wait before the next try: doubling, bounded, with jitter; the dice are passed in."""

from typing import Final

FIRST: Final = 0.5
"""Seconds before the first retry, at most."""
LONGEST: Final = 20.0
"""Seconds between two tries, at most."""
STABLE: Final = 20.0
"""Seconds after which a connection counts as good and its loss is retried fast again."""


class Backoff:
    """Counts failures in a row."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def failed(self, dice: float, *, lasted: float = 0.0) -> float:
        """Seconds to wait after a failure of something that had worked for `lasted` seconds.

        `dice` is from 0 to 1; the wait is between half and all of the step's length.
        """
        if lasted >= STABLE:
            self._failures = 0
        step = min(self._longest, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return step * (0.5 + dice / 2)

    def reset(self) -> None:
        """Forget the failures."""
        self._failures = 0
