"""A terminal's whole state as bytes that give another terminal the same one."""

from typing import Final

from uptui.host.terminal.emulator import Emulator, Page, Pen, Saved
from uptui.host.terminal.style import row_bytes, sgr

RESET: Final = (
    b"\x1b[?2026l\x1b[!p\x1b[?9;1000;1002;1003;1004;1005;1006;1015;1016;2004;69;45;66;1;5;6l"
    b"\x1b[?7h\x1b[?25h\x1b[4l\x1b[20l\x1b>\x1b(B\x1b)B\x0f\x1b[r\x1b[0m\x1b[0 q\x1b[>4m"
    b"\x1b]104\x07\x1b]110\x07\x1b]111\x07\x1b]112\x07\x1b]8;;\x1b\\"
)
"""Everything that a shared program may have changed, back to what terminals start with.

A hard reset would also throw the viewer's scrollback away.
"""
LEAVE: Final = b"\x1b[?1049l" + RESET
_FLAGS: Final = (1, 5, 45, 66, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 2004)
"""Private modes that are simply set again; those with an effect on painting come separately."""
_LINES: Final = {"double_width": b"\x1b#6", "double_top": b"\x1b#3", "double_bottom": b"\x1b#4"}


def redraw(emulator: Emulator) -> bytes:
    """Bytes that make a terminal of the same size look and behave like this one.

    Whatever that terminal showed before is replaced; its scrollback stays.
    """
    out = [b"\x1b[?1049l", RESET, *_colours(emulator), *_tabs(emulator)]
    out += _page(emulator.primary)
    saved = emulator.saved(alternate=False)
    if emulator.alternate:
        out += [_saved(saved), b"\x1b[?1049h\x1b[0m", *_page(emulator.page)]
        saved = emulator.saved(alternate=True)
    if saved is not None:
        out += [_saved(saved), b"\x1b7"]
    return b"".join(out) + finish(emulator)


def finish(emulator: Emulator) -> bytes:
    """The last part of a redraw: modes, margins, and the cursor in its place.

    By itself it restores these after something else was written on the same screen.
    """
    return b"".join(_modes(emulator) + _cursor(emulator)) + emulator.unfinished


def _page(page: Page) -> list[bytes]:
    out = [b"\x1b(B\x0f\x1b[0m\x1b[?7l"]
    for y in range(page.height):
        attribute = _LINES.get(page.line_attributes[y], b"")
        content = row_bytes(page.grid[y], 0, page.width)
        out += [b"\x1b[%d;1H\x1b[2K" % (y + 1), attribute, content]
    out.append(b"\x1b[?7h")
    return out


def _colours(emulator: Emulator) -> list[bytes]:
    out = [
        b"\x1b]4;%d;rgb:%02x/%02x/%02x\x07" % (index, *rgb)
        for index, rgb in emulator.changed_colours()
    ]
    return out + [
        b"\x1b]%d;rgb:%02x/%02x/%02x\x07" % (number, *rgb)
        for number, rgb in emulator.changed_special()
    ]


def _tabs(emulator: Emulator) -> list[bytes]:
    stops = emulator.tab_stops
    if stops == set(range(8, emulator.columns, 8)):
        return []
    return [b"\x1b[3g", *(b"\x1b[%dG\x1bH" % (stop + 1) for stop in sorted(stops))]


def _pen(pen: Pen) -> bytes:
    designations = b"".join(
        b"\x1b" + lead + name.encode()
        for lead, name in zip((b"(", b")", b"*", b"+"), pen.sets, strict=True)
        if name != "B" or lead in b"()"
    )
    return sgr(pen.style) + designations + (b"\x0f", b"\x0e", b"\x1bn", b"\x1bo")[pen.invoked]


def _saved(saved: Saved | None) -> bytes:
    """Put the cursor (and what is saved with it) as it was saved."""
    if saved is None:
        return b"\x1b[1;1H"
    return b"\x1b[%d;%dH" % (saved.row + 1, saved.column + 1) + _pen(saved.pen)


def title_bytes(emulator: Emulator) -> bytes:
    """The window title, if the program has set one."""
    return f"\x1b]2;{emulator.title}\x07".encode() if emulator.title else b""


def _modes(emulator: Emulator) -> list[bytes]:
    out = [b"\x1b[?%dh" % number for number in _FLAGS if emulator.mode(number)]
    if emulator.application_keypad:
        out.append(b"\x1b=")
    if emulator.mode(20, private=False):
        out.append(b"\x1b[20h")
    if emulator.modify_other_keys > 0:
        out.append(b"\x1b[>4;%dm" % emulator.modify_other_keys)
    top, bottom, left, right = emulator.margins
    if (top, bottom) != (0, emulator.rows - 1):
        out.append(b"\x1b[%d;%dr" % (top + 1, bottom + 1))
    if emulator.mode(69):
        out.append(b"\x1b[?69h\x1b[%d;%ds" % (left + 1, right + 1))
    out.append(title_bytes(emulator))
    out.append(b"\x1b[%d q" % emulator.cursor_style)
    return out


def _cursor(emulator: Emulator) -> list[bytes]:
    """Last of all: where the next character goes, and how it will look."""
    out = [_place(emulator)]
    if emulator.mode(4, private=False):
        out.append(b"\x1b[4h")
    if not emulator.mode(7):
        out.append(b"\x1b[?7l")
    if not emulator.mode(25):
        out.append(b"\x1b[?25l")
    out.append(_pen(emulator.pen))
    return out


def _place(emulator: Emulator) -> bytes:
    x, y = emulator.cursor
    if emulator.mode(6):  # origin mode counts from the margins, and turning it on moves the cursor
        top, _, left, _ = emulator.margins
        row, column = max(y - top, 0), max(x - left, 0) if emulator.mode(69) else x
        return b"\x1b[?6h\x1b[%d;%dH" % (row + 1, column + 1)
    if not emulator.wrap_pending:
        return b"\x1b[%d;%dH" % (y + 1, x + 1)
    row_cells = emulator.page.grid[y]
    head = x - 1 if row_cells[x][1] == "" and x > 0 else x
    style, text = row_cells[head]
    return b"\x1b(B\x0f\x1b[%d;%dH" % (y + 1, head + 1) + sgr(style) + (text.encode() or b" ")
