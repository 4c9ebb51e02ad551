"""Which size a shared terminal has, given who watches it, and where a smaller window looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

SizePolicy = Literal["host", "smallest", "typist"]
"""host: the host's window, or as it was; smallest: fits all; typist: whoever typed last."""
MIN_COLUMNS: Final = 20
MIN_ROWS: Final = 5
MAX_COLUMNS: Final = 500
MAX_ROWS: Final = 200
SCROLL_MARGIN: Final = 2
"""Cells kept visible around the cursor in a clipped view, where there is room."""


@dataclass(frozen=True)
class Area:
    """Width and height in cells."""

    columns: int
    rows: int

    def clamped(self) -> "Area":
        """Within what a shared terminal may be."""
        return Area(
            min(max(self.columns, MIN_COLUMNS), MAX_COLUMNS),
            min(max(self.rows, MIN_ROWS), MAX_ROWS),
        )


@dataclass(frozen=True)
class Window:
    """What the choice needs to know of one viewer."""

    area: Area
    host: bool = False
    typed_at: float = 0.0
    """When it last typed, 0 if it never did."""


def choose(policy: SizePolicy, windows: Sequence[Window], current: Area) -> Area:
    """The size that the terminal should have now."""
    if not windows:
        return current
    if len(windows) == 1:
        return windows[0].area.clamped()
    if policy == "smallest":
        columns = min(window.area.columns for window in windows)
        rows = min(window.area.rows for window in windows)
        return Area(columns, rows).clamped()
    if policy == "typist":
        last = max(windows, key=lambda window: window.typed_at)
        return last.area.clamped() if last.typed_at else current
    hosts = [window for window in windows if window.host]
    return hosts[-1].area.clamped() if hosts else current


def follow(offset: int, size: int, view: int, cursor: int) -> int:
    """First visible row (or column) of a view of `view` cells into `size`, keeping the cursor in.

    Moves as little as possible from `offset`.
    """
    if view >= size:
        return 0
    margin = min(SCROLL_MARGIN, (view - 1) // 2)
    if cursor < offset + margin:
        offset = cursor - margin
    elif cursor > offset + view - 1 - margin:
        offset = cursor - view + 1 + margin
    return min(max(offset, 0), size - view)
