"""Decides which entries of the record are repeats, and counts those in place of keeping each.

Does no IO and writes nothing: `EventLog` asks it about each entry.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from uptui.core.events import Record
from uptui.net.sources import source_of

FOLDED: Final = (
    "client.joined", "client.left", "client.message", "client.refused", "client.waiting",
    "file.", "forward.", "key.", "request.expired", "session.",
)  # fmt: skip
"""Events that clients and strangers cause. What the host's people decide is never folded."""
WINDOW: Final = 60.0
"""Seconds that repeats are counted for before their one entry is written."""
APART: Final = 50
"""Repeats of somebody who is in that still have an entry each in a window."""
APART_STRANGER: Final = 5
"""The same, of one source of strangers."""
STRANGERS: Final = 100
"""The same, of all sources of strangers together: who has a large network has many sources."""
MAX_SERIES: Final = 512
"""Series that are counted at once; what comes beside them is counted per event alone."""

Key = tuple[str, str, str, str]


@dataclass
class Repeats:
    """Repeats of one event within a window."""

    started: float
    """On the steady clock, in seconds."""
    n: int = 0
    """The number that the entry of the repeats counted so far would have."""
    apart: int = 0
    """How many had an entry of their own."""
    count: int = 0
    since: float = 0.0
    """When the first of those counted happened (Unix time)."""
    last: Record | None = None
    moved: int = 0
    """Bytes of all those counted, where they tell any."""

    def take(self, record: Record, n: int) -> None:
        self.since = self.since if self.count else record.at
        self.n, self.last = n, record
        self.count += 1
        moved = record.data.get("bytes")
        self.moved += moved if isinstance(moved, int) else 0

    @property
    def folded(self) -> Record:
        """One record of those counted, of which there is at least one: the last, with their sum."""
        assert self.last is not None
        if "bytes" not in self.last.data:
            return self.last
        return msgspec.structs.replace(self.last, data={**self.last.data, "bytes": self.moved})


@dataclass
class Folding:
    """All series of the present, oldest first."""

    series: dict[Key, Repeats] = field(default_factory=dict[Key, Repeats])

    def counts(self, record: Record, now: float, n: int) -> bool:
        """Whether `record` is a repeat, which is now counted and needs no entry of its own.

        `now` is in seconds on a clock that only goes on, `n` the number its entry would have.
        """
        if not record.event.startswith(FOLDED):
            return False
        key, stranger = _key(record), record.name is None
        crowd = self.series.setdefault((record.event, record.level, "", ""), Repeats(now))
        full = key not in self.series and len(self.series) >= MAX_SERIES
        if full or (stranger and crowd.apart >= STRANGERS):
            series = crowd
        else:
            series = self.series.setdefault(key, Repeats(now))
        if series.apart < (APART_STRANGER if stranger else APART):
            series.apart += 1
            if stranger and series is not crowd:
                crowd.apart += 1
            return False
        series.take(record, n)
        return True

    def over(self, now: float) -> list[Repeats]:
        """Take out the series whose window is over; those that have counted something."""
        ended = [key for key, one in self.series.items() if now - one.started >= WINDOW]
        return [series for key in ended if (series := self.series.pop(key)).count]

    def open(self) -> list[Repeats]:
        """Those that have counted something and go on."""
        return [series for series in self.series.values() if series.count]


def _key(record: Record) -> Key:
    """What makes records one series: a person's event, or a stranger's by source.

    Commands are repeats only when they are the same, so that none hides behind others.
    """
    who = record.fingerprint if record.name is not None else None
    address = record.data.get("address")
    source = source_of(address if isinstance(address, str) else None)
    text = record.text if record.event.startswith("session.") else ""
    return record.event, record.level, who or source, text
