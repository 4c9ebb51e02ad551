"""Compare two emulators: what a person would see, and how they would act on what comes next."""

from collections.abc import Sequence

from uptui.host.terminals.emulator import Cell, Emulator, Page, Pen
from uptui.host.terminals.style import sgr

MODES = (1, 5, 6, 7, 9, 25, 45, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004)


def cells(row: Sequence[Cell]) -> list[tuple[bytes, str | None, str]]:
    return [(sgr(style), style.hyperlink, text) for style, text in row]


def page(page: Page) -> dict[int, object]:
    return {y: cells(row) for y, row in enumerate(page.grid)}


def pen(pen: Pen | None) -> object:
    return pen and (sgr(pen.style), pen.invoked, pen.sets)


def state(emulator: Emulator) -> dict[str, object]:
    saved = [emulator.saved(alternate=which) for which in (False, True)]
    return {
        "size": (emulator.columns, emulator.rows),
        "alternate": emulator.alternate,
        "primary": page(emulator.primary),
        "page": page(emulator.page),
        "attributes": list(emulator.page.line_attributes),
        "cursor": (*emulator.cursor, emulator.wrap_pending),
        "style": emulator.cursor_style,
        "title": emulator.title,
        "modes": {number for number in MODES if emulator.mode(number)},
        "ansi": {number for number in (4, 20) if emulator.mode(number, private=False)},
        "keypad": emulator.application_keypad,
        "keys": max(emulator.modify_other_keys, 0),
        "margins": emulator.margins,
        "tabs": emulator.tab_stops,
        "pen": pen(emulator.pen),
        "saved": [
            (each.column, each.row, pen(each.pen)) if each else (0, 0, pen(Pen()))
            for each in saved[: 1 + emulator.alternate]
        ],
        "colours": (emulator.changed_colours(), emulator.changed_special()),
    }


def text(emulator: Emulator) -> str:
    return "\n".join("".join(cell[1] for cell in row).rstrip() for row in emulator.page.grid)
