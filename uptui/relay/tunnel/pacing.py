"""Paces hosts that all come back at once; pure arithmetic, `now` passed in.

What a login and its publish cost is measured in docs/reliability.md.
"""

from typing import Final

LOGINS_PER_SECOND: Final = 50.0
"""Half of what one slow core serves: the other half is for those who are in."""
LOGINS_AT_ONCE: Final = 500
"""Logins that may come together before others are asked to wait."""
LONGEST_WAIT: Final = 60.0
"""Seconds that a host is asked to wait at most."""


class LoginPace:
    """A bucket that `rate` logins a second leave, and the line of those who have been sent away."""

    def __init__(self, rate: float = LOGINS_PER_SECOND, at_once: int = LOGINS_AT_ONCE) -> None:
        """`rate` in logins per second, above 0."""
        self._rate = rate
        self._at_once = at_once
        self._level = 0.0
        self._promised = 0.0
        self._at = 0.0

    def wait(self, now: float) -> float:
        """Seconds after which this login may come again; 0 when it may go on."""
        left = max(0.0, now - self._at) * self._rate
        self._at = now
        self._level = max(0.0, self._level - left)
        self._promised = max(0.0, self._promised - left)
        if self._level + 1 <= self._at_once:
            self._level += 1
            return 0.0
        self._promised += 1
        return min(LONGEST_WAIT, 1.0 + self._promised / self._rate)
