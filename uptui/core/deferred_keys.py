"""Keys that nobody here knows and that were put off, so that their client might show another."""

from typing import Final

from uptui.protocol.names import Fingerprint

RETURN_WITHIN: Final = 300.0
"""Seconds in which a key that was put off, and came to nothing, waits at once when it returns."""
MAX_KNOCKS: Final = 1000
"""Keys remembered; the oldest go first."""


class Knocks:
    """The keys whose connection ended where they were put off."""

    def __init__(self) -> None:
        self._at: dict[Fingerprint, float] = {}

    def remember(self, key: Fingerprint, now: float) -> None:
        """The connection is over: its client had nothing else to show."""
        self._at.pop(key, None)
        while len(self._at) >= MAX_KNOCKS:
            del self._at[next(iter(self._at))]
        self._at[key] = now

    def returns(self, key: Fingerprint, now: float) -> bool:
        """Whether this key was put off in vain lately; a clock set back forgets it."""
        return 0 <= now - self._at.get(key, -RETURN_WITHIN) < RETURN_WITHIN
