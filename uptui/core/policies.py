"""When a share ends or changes its name by itself; warns before it ends."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

WARN_BEFORE: Final = (600.0, 60.0)
"""Seconds before the end at which everybody is warned, where the rule allows so long."""


@dataclass(frozen=True)
class Rules:
    """The host's wishes; None switches a rule off. Durations in seconds, `stop_at` Unix time."""

    stop_unused: float | None = None
    """Stop when nobody is connected and nobody has joined for so long."""
    stop_idle: float | None = None
    """Stop when no client has done anything for so long, connected or not."""
    stop_at: float | None = None
    rotate_every: float | None = None


@dataclass(frozen=True)
class Presence:
    """What one connected client is doing."""

    last_activity: float
    busy: bool
    """An IDE's tunnels, a running command or a transfer: counts as somebody at work now."""


@dataclass(frozen=True)
class Ending:
    """The moment at which the share will stop unless somebody does something."""

    at: float
    reason: str
    span: float = math.inf
    """Seconds that the rule allows: one that allows few warns when half of them are over."""

    @property
    def warnings(self) -> set[float]:
        """Seconds before the end at which everybody is told."""
        return {before for before in WARN_BEFORE if before <= self.span / 2} or {self.span / 2}


@dataclass(frozen=True)
class Warn:
    """Tell everybody that the share ends in `seconds`."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class Stop:
    """The share ends now."""

    reason: str


def _words(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


class Policies:
    """Watches one share; `check` is called every second."""

    def __init__(self, rules: Rules, now: float) -> None:
        self.rules = rules
        self._last_present = now
        self._last_active = now
        self._warned_for: Ending | None = None
        self._warned: set[float] = set()
        self._stopped = False

    def joined(self, now: float) -> None:
        """Somebody came in."""
        self._last_present = max(self._last_present, now)
        self._last_active = max(self._last_active, now)

    def clock_moved(self, by: float) -> None:
        """The clock was set, or the machine slept: those seconds are no time of the rules."""
        self._last_present += by
        self._last_active += by

    def ending(self) -> Ending | None:
        """The next end, as far as it is known now."""
        rules = self.rules
        ends: list[Ending] = []
        if rules.stop_at is not None:
            ends.append(Ending(rules.stop_at, "the time set for its end has come"))
        if rules.stop_unused is not None:
            at = self._last_present + rules.stop_unused
            ends.append(
                Ending(
                    at, f"nobody was connected for {_words(rules.stop_unused)}", rules.stop_unused
                )
            )
        if rules.stop_idle is not None:
            at = self._last_active + rules.stop_idle
            ends.append(
                Ending(at, f"nobody did anything for {_words(rules.stop_idle)}", rules.stop_idle)
            )
        return min(ends, key=lambda ending: ending.at) if ends else None

    def check(self, now: float, present: Iterable[Presence]) -> Warn | Stop | None:
        """Look at who is here; returns what to do, each warning and the stop only once."""
        for presence in present:
            self._last_present = now
            active = now if presence.busy else presence.last_activity
            self._last_active = max(self._last_active, min(active, now))
        ending = self.ending()
        if ending is None or self._stopped:
            return None
        if now >= ending.at:
            self._stopped = True
            return Stop(ending.reason)
        return self._warning(ending, now)

    def _warning(self, ending: Ending, now: float) -> Warn | None:
        if self._warned_for != ending:
            self._warned_for, self._warned = ending, set()
        left = ending.at - now
        due = {before for before in ending.warnings if left <= before} - self._warned
        if not due:
            return None
        self._warned |= due
        return Warn(left, ending.reason)
