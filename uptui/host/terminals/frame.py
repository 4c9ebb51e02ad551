"""A terminal seen through a window of another size: clipped around the cursor, or with an edge."""

from typing import Final

from uptui.core.terminal_size import Area, follow
from uptui.host.terminals.emulator import Emulator, Page
from uptui.host.terminals.screen import title_bytes
from uptui.host.terminals.style import row_bytes
from uptui.protocol.terminal import RESET

MAX_CACHED_ROWS: Final = 4096
_EDGE: Final = b"\x1b[0;2m"


class RowCache:
    """Rows as bytes, shared by all windows that show the same columns."""

    def __init__(self) -> None:
        self._page: Page | None = None
        self._seen = 0
        self._rows: dict[tuple[int, int, int], bytes] = {}

    def refresh(self, page: Page) -> None:
        """Forget the rows that changed since the last call."""
        if page is not self._page or len(self._rows) > MAX_CACHED_ROWS:
            self._rows.clear()
        else:
            dirty = set(page.dirty_rows(self._seen))
            if dirty:
                self._rows = {key: row for key, row in self._rows.items() if key[0] not in dirty}
        self._page = page
        self._seen = page.observe()

    def row(self, page: Page, y: int, left: int, right: int) -> bytes:
        """Columns `left` to `right` of row `y`; `refresh` must have seen this page last."""
        key = (y, left, right)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = row_bytes(page.grid[y], left, right)
        return found


class Frame:
    """What one window of another size shows, and what it was sent last."""

    def __init__(self, view: Area) -> None:
        self.view = view
        self.left = 0
        self.top = 0
        self._rows: list[bytes] = []
        self._modes = b""
        self._tail: bytes = b""

    def forget(self) -> None:
        """Paint everything the next time."""
        self._rows = []
        self._modes = b""
        self._tail = b""

    def resize(self, view: Area) -> None:
        self.view = view
        self.forget()

    def paint(self, emulator: Emulator, cache: RowCache) -> bytes:
        """What changed since the last call; on the alternate screen, so scrollback is untouched."""
        view = self.view
        column, row = emulator.cursor
        self.left = follow(self.left, emulator.columns, view.columns, column)
        self.top = follow(self.top, emulator.rows, view.rows, row)
        out: list[bytes] = []
        modes = _modes(emulator)
        if not self._rows:
            out.append(RESET + b"\x1b[?1049h\x1b[?7l\x1b[2J")
        elif modes != self._modes:
            out.append(RESET + b"\x1b[?7l")
        rows = self._lines(emulator, cache)
        old = self._rows if len(self._rows) == len(rows) else [b""] * len(rows)
        changed = [
            b"\x1b[%d;1H\x1b[2K%b" % (y + 1, line) for y, line in enumerate(rows) if line != old[y]
        ]
        tail = self._cursor(emulator)
        if not out and not changed and tail == self._tail:
            return b""
        if out:
            out.append(modes)
        out += [b"\x1b[?25l", *changed, tail]
        self._rows, self._modes, self._tail = rows, modes, tail
        return b"".join(out)

    def _cursor(self, emulator: Emulator) -> bytes:
        column, row = emulator.cursor
        place = b"\x1b[%d;%dH" % (row - self.top + 1, column - self.left + 1)
        return place + (b"\x1b[?25h" if emulator.mode(25) else b"")

    def _lines(self, emulator: Emulator, cache: RowCache) -> list[bytes]:
        view, page = self.view, emulator.page
        right = min(self.left + view.columns, emulator.columns)
        lines = [
            cache.row(page, y, self.left, right)
            for y in range(self.top, min(self.top + view.rows, emulator.rows))
        ]
        if view.columns > emulator.columns:
            edge = b"\x1b[%dG%b\xe2\x94\x82\x1b[0m" % (emulator.columns + 1, _EDGE)
            lines = [line + edge for line in lines]
        return lines + self._below(emulator, view.rows - len(lines))

    def _below(self, emulator: Emulator, count: int) -> list[bytes]:
        """The rows of the window under the terminal: its edge, and why it is there."""
        if count <= 0:
            return []
        width = min(self.view.columns, emulator.columns)
        corner = "┘" if self.view.columns > emulator.columns else ""
        text = f" shared terminal {emulator.columns}x{emulator.rows} "
        lines = [_EDGE + ("─" * width + corner).encode() + b"\x1b[0m"]
        lines += [_EDGE + text[: self.view.columns].encode() + b"\x1b[0m"]
        return (lines + [b""] * count)[:count]


def _modes(emulator: Emulator) -> bytes:
    """Modes that change what the viewer's keys and mouse send, its cursor and its title."""
    numbers = [1, 66, 2004]
    if emulator.mode(1006):
        numbers += [1000, 1002, 1003, 1006]
    out = [b"\x1b[?%dh" % number for number in numbers if emulator.mode(number)]
    if emulator.application_keypad:
        out.append(b"\x1b=")
    out.append(b"\x1b[%d q" % emulator.cursor_style)
    if emulator.title:
        out.append(title_bytes(emulator.title))
    return b"".join(out)
