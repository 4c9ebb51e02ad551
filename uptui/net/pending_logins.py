"""Connections that have not logged in yet: how many may wait, and whose turn it is to go.

Who has logged in counts no more, so that any number of people behind one address can work. When
there are too many strangers, the one that has been silent longest goes, of the source that has
most: a flood drives out itself. Pure tables, `now` passed in.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

HASTE: Final = 2.0
"""Seconds that a stranger has at least before another of its own source may take its place."""


@dataclass(eq=False)
class PendingLogin:
    """One connection; `drop` ends it."""

    source: str
    drop: Callable[[], None]
    seen: float
    """When it last did something."""


@dataclass
class PendingLogins:
    """All that have not logged in yet at one server."""

    most: int
    most_per_source: int
    refused: int = 0
    _by_source: dict[str, OrderedDict[PendingLogin, None]] = field(
        default_factory=dict[str, OrderedDict[PendingLogin, None]]
    )
    _count: int = 0

    def __len__(self) -> int:
        return self._count

    def enter(
        self, source: str, drop: Callable[[], None], now: float, *, shared: bool = False
    ) -> PendingLogin | None:
        """One more; None when it may not. May drop another, which must not call back for itself.

        `shared`: many stand behind this source, a trusted proxy, so only `most` counts for it.
        """
        mine = len(self._by_source.get(source, ()))
        if mine >= self.most_per_source and not shared:
            victim = self._oldest(source, now - HASTE)
        elif self._count >= self.most:
            greediest = max(self._by_source, key=lambda name: len(self._by_source[name]))
            richer = greediest != source and len(self._by_source[greediest]) > mine
            victim = self._oldest(greediest, now if richer else now - HASTE)
        else:
            return self._add(source, drop, now)
        if victim is None:
            self.refused += 1
            return None
        self.leave(victim)
        victim.drop()
        return self._add(source, drop, now)

    def touch(self, stranger: PendingLogin, now: float) -> None:
        """It has done something: others are silent longer."""
        mine = self._by_source.get(stranger.source)
        if mine is not None and stranger in mine:
            stranger.seen = now
            mine.move_to_end(stranger)

    def leave(self, stranger: PendingLogin) -> None:
        """It has logged in, or is gone; harmless when repeated."""
        mine = self._by_source.get(stranger.source)
        if mine is None or stranger not in mine:
            return
        del mine[stranger]
        self._count -= 1
        if not mine:
            del self._by_source[stranger.source]

    def _add(self, source: str, drop: Callable[[], None], now: float) -> PendingLogin:
        made = PendingLogin(source, drop, now)
        self._by_source.setdefault(source, OrderedDict())[made] = None
        self._count += 1
        return made

    def _oldest(self, source: str, before: float) -> PendingLogin | None:
        """The one of a source that has been silent longest, if since before that time."""
        oldest = next(iter(self._by_source[source]))
        return oldest if oldest.seen <= before else None
