"""A terminal's whole state as bytes that give another terminal the same one."""

from typing import Final

from uptui.core.terminal_stream import ends_on_alternate
from uptui.host.terminals.emulator import Emulator, Page, Pen, Saved
from uptui.host.terminals.style import row_bytes, sgr
from uptui.protocol.terminal import RESET

_COLOURS: Final = b"\x1b]104\x07\x1b]110\x07\x1b]111\x07\x1b]112\x07"
"""The viewer's own palette and colours of text, background and cursor."""
_KEYS: Final = b"\x1b[<9u"
"""Off with kitty's keyboard modes, however many were put on each other."""
_FLAGS: Final = (1, 5, 45, 66, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 2004)
"""Private modes that are simply set again; those with an effect on painting come separately."""
_LINES: Final = {"double_width": b"\x1b#6", "double_top": b"\x1b#3", "double_bottom": b"\x1b#4"}


def given_back(output: bytes, columns: int) -> bytes:
    """For a terminal that was shown `output` as it came: everything back to how it started."""
    tabs = default_tabs(columns) if b"\x1b[3g" in output or b"\x1bH" in output else b""
    leave = b"\x1b[?1049l" if ends_on_alternate(output) else b"\x1b[999;1H\r\n"
    return RESET + _KEYS + _COLOURS + tabs + leave


def redraw(emulator: Emulator) -> bytes:
    """Bytes that make a terminal of the same size look and behave like this one.

    Whatever that terminal showed before is replaced; its scrollback stays. Output that follows goes
    on after `emulator.unfinished`.
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
    return b"".join(_modes(emulator) + _cursor(emulator))


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
    out += [
        b"\x1b]%d;rgb:%02x/%02x/%02x\x07" % (number, *rgb)
        for number, rgb in emulator.changed_special()
    ]
    return [_COLOURS, *out] if out else []


def _tabs(emulator: Emulator) -> list[bytes]:
    stops = emulator.tab_stops
    if stops == set(range(8, emulator.columns, 8)):
        return []
    return [b"\x1b[3g", *(b"\x1b[%dG\x1bH" % (stop + 1) for stop in sorted(stops))]


def default_tabs(columns: int) -> bytes:
    """Tab stops as terminals start with them, every eight columns."""
    return b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % at for at in range(9, columns + 1, 8))


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


def title_bytes(title: str) -> bytes:
    """The window title that the program has set; without one the viewer's, which was put aside."""
    return f"\x1b]2;{title}\x07".encode() if title else b"\x1b[23;2t\x1b[22;2t"


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
    if emulator.title:
        out.append(title_bytes(emulator.title))
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
    row_cells = emulator.page.grid[y]
    pending = emulator.wrap_pending
    head = x - 1 if pending and row_cells[x][1] == "" and x > 0 else x
    if emulator.mode(6):  # origin mode counts from the margins, and turning it on moves the cursor
        top, _, left, _ = emulator.margins
        row, column = max(y - top, 0), max(head - left, 0) if emulator.mode(69) else head
        place = b"\x1b[?6h\x1b[%d;%dH" % (row + 1, column + 1)
    else:
        place = b"\x1b[%d;%dH" % (y + 1, head + 1)
    if not pending:
        return place
    style, text = row_cells[head]
    return b"\x1b(B\x0f" + place + sgr(style) + (text.encode() or b" ")
