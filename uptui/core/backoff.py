"""How long to wait before the next try; bounded, with jitter; the dice are passed in.

A relay that is away for a moment is found again within STEADY seconds of its return: only after
PATIENCE seconds of failures do the waits grow on.
"""

from typing import Final

FIRST: Final = 0.5
"""Seconds before the first retry, at most."""
STEADY: Final = 3.0
"""Seconds between two tries while the loss is young, at most."""
PATIENCE: Final = 600.0
"""Seconds of waiting after which a loss counts as one that lasts."""
LONGEST: Final = 30.0
"""Seconds between two tries, at most."""
STABLE: Final = 20.0
"""Seconds after which a connection counts as good and its loss is retried fast again."""


class Backoff:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self._step = FIRST
        self._waited = 0.0

    def failed(self, dice: float, *, lasted: float = 0.0) -> float:
        """Seconds to wait after a failure of something that had worked for `lasted` seconds.

        `dice` is from 0 to 1; the wait is between two thirds and all of the step's length.
        """
        if lasted >= STABLE:
            self.reset()
        wait = self._step * (2 + dice) / 3
        self._waited += wait
        self._step = min(self._step * 2, STEADY if self._waited < PATIENCE else LONGEST)
        return wait

    def reset(self) -> None:
        """Forget the failures."""
        self._step, self._waited = FIRST, 0.0
