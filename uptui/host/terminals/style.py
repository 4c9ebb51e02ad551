"""Cells as escape sequences: one row of a screen, or one style, in the forms all terminals take."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from bittty.style import Color, Style

from uptui.host.terminals.emulator import Cell

PLAIN: Final = Style()
BLANK: Final[Cell] = (PLAIN, " ")
_UNDERLINES: Final = {"double": "21", "curly": "4:3", "dotted": "4:4", "dashed": "4:5"}


def _colour(color: Color | None, base: int, bright: int) -> list[str]:
    if color is None:
        return []
    value = color.value
    if isinstance(value, tuple):
        return [f"{base + 8};2;{value[0]};{value[1]};{value[2]}"]
    if color.mode != "indexed" or value is None:
        return []
    if value < 8:
        return [str(base + value)]
    return [str(bright + value - 8)] if value < 16 else [f"{base + 8};5;{value}"]


def _underline_colour(color: Color | None) -> list[str]:
    if color is None:
        return []
    value = color.value
    if isinstance(value, tuple):
        return [f"58:2::{value[0]}:{value[1]}:{value[2]}"]
    return [f"58:5:{value}"] if color.mode == "indexed" else []


@lru_cache(maxsize=4096)
def sgr(style: Style) -> bytes:
    """From any style to this one (hyperlinks apart)."""
    parts = ["0"]
    flags = (
        (style.bold, "1"),
        (style.dim, "2"),
        (style.italic, "3"),
        (style.underline, _UNDERLINES.get(style.underline_style or "", "4")),
        (style.blink, "5"),
        (style.reverse, "7"),
        (style.conceal, "8"),
        (style.strike, "9"),
        (style.overline, "53"),
    )
    parts += [code for flag, code in flags if flag]
    parts += _colour(style.fg, 30, 90) + _colour(style.bg, 40, 100)
    parts += _underline_colour(style.underline_color)
    return f"\x1b[{';'.join(parts)}m".encode()


def _link(style: Style) -> bytes:
    """OSC 8; the address is output of the program, so only printable characters pass."""
    uri = "".join(c for c in style.hyperlink or "" if c.isprintable())
    link_id = "".join(c for c in style.hyperlink_id or "" if c.isalnum())
    params = f"id={link_id}" if link_id and uri else ""
    return f"\x1b]8;{params};{uri}\x1b\\".encode()


def _is_blank(cell: Cell) -> bool:
    return cell[1] == " " and cell[0] == PLAIN


def row_bytes(row: Sequence[Cell], left: int, right: int) -> bytes:
    """Columns `left` to `right` (exclusive) from a cursor that stands on the first of them.

    Starts and ends in the plain style and leaves out trailing blanks. After a character whose width
    terminals disagree about, the column is set again.
    """
    end = right
    while end > left and _is_blank(row[end - 1]):
        end -= 1
    out: list[bytes] = []
    style = PLAIN
    resync = False
    for x in range(left, end):
        cell_style, text = row[x]
        if text == "" and x > left:
            continue
        wide = x + 1 < len(row) and row[x + 1][1] == ""
        if text == "" or (wide and x + 1 >= right):
            text, wide = " ", False  # half of a wide character at the edge
        if cell_style is not style and cell_style != style:
            if (cell_style.hyperlink, cell_style.hyperlink_id) != (
                style.hyperlink,
                style.hyperlink_id,
            ):
                out.append(_link(cell_style))
            out.append(sgr(cell_style))
            style = cell_style
        if resync:
            out.append(b"\x1b[%dG" % (x - left + 1))
        out.append(text.encode("utf-8", "replace"))
        resync = wide or len(text) > 1
    if style.hyperlink:
        out.append(_link(PLAIN))
    if style != PLAIN:
        out.append(b"\x1b[0m")
    return b"".join(out)
