"""Numbers, times and untrusted text as the short words that fit in a terminal; pure functions."""

import time
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from rich.cells import cell_len, set_cell_size

MAX_REMOTE_TEXT: Final = 400
"""Characters of one piece of remote text that are ever drawn."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def plain(text: str, limit: int = MAX_REMOTE_TEXT) -> str:
    """Remote text without anything that moves a cursor, changes direction or hides itself."""
    kept = (
        " " if character in "\t\n\r" else character
        for character in text[: limit * 2]
        if character in "\t\n\r" or unicodedata.category(character)[0] != "C"
    )
    return "".join(kept)[:limit]


def clip(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` in at most `width` cells, ending in an ellipsis when it was longer."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1) + ellipsis


def pad(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` in exactly `width` cells."""
    return set_cell_size(clip(text, width, ellipsis), width)


def size(count: float) -> str:
    """A byte count in three digits or fewer: `0 B`, `14 kB`, `1.2 MB`."""
    value, step = float(count), 0
    while value >= 999.5 and step < len(_UNITS) - 1:
        value, step = value / 1000, step + 1
    unit = _UNITS[step]
    digits = 1 if unit != "B" and value < 9.95 else 0
    return f"{value:.{digits}f} {unit}"


def rate(per_second: float) -> str:
    """A rate as `14 kB/s`."""
    return f"{size(per_second)}/s"


def span(seconds: float) -> str:
    """A duration by its two largest units: `12s`, `5m`, `3h12m`, `2d4h`."""
    total = max(0, int(seconds))
    if total < 60:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if days:
        rest = hours % 24
        return f"{days}d{rest}h" if rest else f"{days}d"
    if hours:
        rest = minutes % 60
        return f"{hours}h{rest:02d}m" if rest else f"{hours}h"
    return f"{minutes}m"


def countdown(seconds: float) -> str:
    """What is left, as a clock: `0:42`."""
    total = max(0, int(seconds))
    return f"{total // 60}:{total % 60:02d}"


def clock(at: float, *, seconds: bool = False) -> str:
    """The local time of day."""
    return time.strftime("%H:%M:%S" if seconds else "%H:%M", time.localtime(at))


def day(at: float) -> str:
    """The local date and time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def fingerprint(text: str, keep: int = 8, ellipsis: str = "…") -> str:
    """A fingerprint short enough for a list, long enough to compare by eye."""
    head, colon, body = text.partition(":")
    if not colon or len(body) <= keep:
        return text
    return f"{head}:{body[:keep]}{ellipsis}"


def program(text: str) -> str:
    """A client's version as people say it: `OpenSSH 9.2p1` for `OpenSSH_9.2p1 Debian-2`."""
    return plain(text).partition(" Debian")[0].partition(" Ubuntu")[0].replace("_", " ")


def many(count: int, one: str, several: str = "") -> str:
    """`1 client`, `3 clients`."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def spark(values: Sequence[float], width: int, bars: str, peak: float = 0) -> str:
    """The newest `width` values as a row of bars; anything above zero shows."""
    recent = list(values)[-width:] if width > 0 else []
    top = max([peak, *recent], default=0)
    return "".join(_bar(value, top, bars) for value in recent).rjust(width, bars[0])


def _bar(value: float, top: float, bars: str) -> str:
    if value <= 0 or top <= 0:
        return bars[0]
    steps = len(bars) - 1
    return bars[min(steps, max(1, round(value / top * steps)))]


def chart(values: Sequence[float], width: int, height: int, bars: str) -> list[str]:
    """The same as several rows of bars, top row first."""
    recent = list(values)[-width:] if width > 0 else []
    top = max(recent, default=0)
    steps = len(bars) - 1
    eighths = [
        max(1, round(value / top * height * steps)) if top and value > 0 else 0 for value in recent
    ]
    rows: list[str] = []
    for row in range(height - 1, -1, -1):
        cells = (bars[min(steps, max(0, eighth - row * steps))] for eighth in eighths)
        rows.append("".join(cells).rjust(width))
    return rows


def squeeze(values: Sequence[float], width: int) -> list[float]:
    """`values` in at most `width` columns, each the largest of its share."""
    if width <= 0 or len(values) <= width:
        return list(values)
    edges = [len(values) * column // width for column in range(width + 1)]
    return [max(values[a:b]) for a, b in pairwise(edges)]
