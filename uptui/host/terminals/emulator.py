"""The terminal emulator behind one small typed surface; everything about bittty stays in here."""

import dataclasses
import re
from typing import Any, Final, Protocol

from bittty import XTERM, Board
from bittty.devices.cursor import SavedCursor
from bittty.mode_profiles import (
    DEC_ANSI,
    XTERM_ALLOW_COLUMN,
    XTERM_COLUMN_MODE,
)
from bittty.style import Style

from uptui.core.terminal_output import clean_title

Cell = tuple[Style, str]
"""Style and text; the text of a wide character's second column is empty."""

_MODEL: Final = dataclasses.replace(
    XTERM,
    options=frozenset(),
    mode_capabilities=XTERM.mode_capabilities - {DEC_ANSI, XTERM_COLUMN_MODE, XTERM_ALLOW_COLUMN},
    fixed_modes=XTERM.fixed_modes | {(True, 2027, 3)},
)
"""xterm without a printer, without modes that change the size, and with combining characters."""
_ANSWERS: Final = re.compile(
    r"\x1b\[[?>][0-9;]*c|\x1b\[[0-9]+n|\x1b\[\??[0-9;]+R|\x1b\[\??[0-9]+;[0-9]\$y"
    r"|\x1bP[01]\$r[0-9;: a-zA-Z\"'$]*\x1b\\|\x1bP[01]\+r[0-9a-fA-F=;]*\x1b\\"
    r"|\x1b\](?:1[0-2]|4;[0-9]+);rgb:[0-9a-fA-F/]+(?:\x07|\x1b\\)|\x1b\[8;[0-9]+;[0-9]+t"
)
"""Answers that may reach the program: never one that repeats text which the output chose."""
MAX_ANSWERS: Final = 4096
"""Bytes of answers kept until they are fetched."""


class Page(Protocol):
    """One screen of cells."""

    width: int
    height: int
    grid: list[list[Cell]]
    line_attributes: list[str]

    def observe(self) -> int:
        """Start a new epoch and return its number."""
        ...

    def dirty_rows(self, seen: int) -> list[int]:
        """Rows changed since the epoch `seen`."""
        ...


@dataclasses.dataclass(frozen=True)
class Pen:
    """How the next character will be written: style and the sets that 7-bit codes stand for."""

    style: Style = dataclasses.field(default_factory=Style)
    invoked: int = 0
    """Which of the four character sets is in use."""
    sets: tuple[str, ...] = ("B", "B", "B", "B")


@dataclasses.dataclass(frozen=True)
class Saved:
    """A cursor put aside with DECSC."""

    column: int
    row: int
    pen: Pen


class _Answers:
    """The cable on which the emulator answers the program's questions."""

    closed = False

    def __init__(self) -> None:
        self._text = ""

    def take(self) -> bytes:
        text, self._text = self._text, ""
        return "".join(_ANSWERS.findall(text)).encode()

    def write(self, data: str) -> int:
        if len(self._text) < MAX_ANSWERS:
            self._text += data
        return len(data)

    def write_bytes(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    async def read_bytes_async(self, size: int) -> bytes:
        """Never has output: that is fed directly."""
        del size
        return b""

    def configure_line(self, line: object) -> None:
        """There is no line."""

    def resize(self, rows: int, cols: int) -> None:
        """The size is not the program's to choose."""

    def close(self) -> None:
        """Nothing is open."""


class Emulator:
    """A headless terminal: bytes in, a screen to read."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._answers = _Answers()
        board: Any = Board(width=columns, height=rows, model=_MODEL)
        self._board = board
        board.modes.reset(hard=True)
        board.host.attach(self._answers)
        board.title.title = board.title.icon_title = ""
        board.cursor.set_cursor_style(0)  # until the program chooses: the viewer's own
        self._switch = board.blitter.switch_screen
        board.blitter.switch_screen = self._switch_screen
        self._colours = list(board.palette.colors)
        self._special = self._special_colours()

    def feed(self, data: bytes) -> None:
        """Interpret output of the program."""
        board = self._board
        board.feed_host_data(data)
        if (board.width, board.height) != (self.columns, self.rows):
            board.resize(self.columns, self.rows)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, keeping the cursor's line on the screen like terminals do."""
        cursor, blitter = self._board.cursor, self._board.blitter
        if blitter.in_alt_screen:
            saved = cursor.saved[False]
            lost = max(0, saved.y - rows + 1)
            cursor.saved[False] = dataclasses.replace(saved, y=saved.y - lost)
        else:
            lost = max(0, cursor.y - rows + 1)
            cursor.set_position(None, cursor.y - lost)
        blitter.primary_page.scroll_region_up(0, self.rows - 1, lost)
        self.columns, self.rows = columns, rows
        self._board.resize(columns, rows)

    def answers(self) -> bytes:
        """What the program asked for since the last call, answered."""
        return self._answers.take()

    @property
    def unfinished(self) -> bytes:
        """Output taken in that is not a whole sequence yet."""
        parser = self._board.parser
        return str(parser.buffer[parser.pos :]).encode()

    @property
    def page(self) -> Page:
        """The screen that is shown."""
        return self._board.blitter.main_page

    @property
    def primary(self) -> Page:
        return self._board.blitter.primary_page

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return bool(self._board.blitter.in_alt_screen)

    @property
    def title(self) -> str:
        """Window title as the program chose it: untrusted, but without control characters."""
        return clean_title(str(self._board.title.title))

    @property
    def cursor(self) -> tuple[int, int]:
        """Column and row of the cursor, from 0."""
        return self._board.cursor.display_x, self._board.cursor.y

    @property
    def wrap_pending(self) -> bool:
        """Whether the last column was just written, so that the next character wraps."""
        return bool(self._board.cursor.wrap_pending)

    @property
    def pen(self) -> Pen:
        invoked, _, sets = self._board.charset.save()
        return Pen(self._board.style.current, invoked, sets)

    def saved(self, *, alternate: bool) -> Saved | None:
        """The cursor that one of the screens has put aside."""
        saved: Any = self._board.cursor.saved[alternate]
        if saved == SavedCursor():
            return None
        invoked, _, sets = saved.charsets
        return Saved(saved.x, saved.y, Pen(saved.style, invoked, sets))

    @property
    def tab_stops(self) -> set[int]:
        return set(self._board.cursor.tab_stops)

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """First and last row, first and last column of the scrolling region, from 0."""
        blitter = self._board.blitter
        return (
            blitter.scroll_top,
            blitter.scroll_bottom,
            blitter.left_margin,
            blitter.right_margin,
        )

    @property
    def application_keypad(self) -> bool:
        return bool(self._board.modes.application_keypad)

    @property
    def modify_other_keys(self) -> int:
        """Level of xterm's modifyOtherKeys."""
        return self._board.keyboard.modify_other_keys

    @property
    def cursor_style(self) -> int:
        """Parameter of DECSCUSR; 0 is the viewer's own."""
        shapes = {"block": 1, "underline": 3, "bar": 5}
        number = shapes[self._board.cursor.shape]
        blinks = bool(self._board.modes.cursor_blinking)
        return 0 if number == 1 and blinks else number + (not blinks)

    def mode(self, number: int, *, private: bool = True) -> bool:
        """Whether a DEC private (or ANSI) mode is set."""
        return self._board.modes.mode_status(private, number) in (1, 3)

    def changed_colours(self) -> list[tuple[int, tuple[int, int, int]]]:
        """Palette entries that the program has redefined."""
        now: list[tuple[int, int, int]] = self._board.palette.colors
        if now == self._colours:
            return []
        return [(i, now[i]) for i in range(256) if now[i] != self._colours[i]]

    def changed_special(self) -> list[tuple[int, tuple[int, int, int]]]:
        """OSC number and value of redefined foreground, background and cursor colours."""
        pairs = zip(self._special_colours(), self._special, strict=True)
        return [(10 + i, value) for i, (value, first) in enumerate(pairs) if value != first]

    def _special_colours(self) -> tuple[tuple[int, int, int], ...]:
        palette = self._board.palette
        return palette.foreground, palette.background, palette.cursor

    def _switch_screen(self, alt: bool) -> None:
        """Like xterm's mode 1049, enter an empty alternate screen."""
        blitter = self._board.blitter
        if alt and not blitter.in_alt_screen:
            for y in range(self.rows):
                blitter.alt_page.clear_line(y, 2, 0, "")
            blitter.alt_page.reset_line_attributes()
        self._switch(alt)
