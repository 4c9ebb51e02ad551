"""Output that nobody reads any more: what outlasts the screen in it, and where it may be cut."""

import re
from typing import Final

_LASTING: Final = re.compile(
    rb"\x1b\[\?[0-9;]+[hl]|\x1b\[[0-9;]*r|\x1b\[!p|\x1b[=>78c]|\x1b\[[su]|\x1b\[[0-9;]*[ ]q"
    rb"|\x1b[()][0-9A-Za-z]|[\x0e\x0f]|\x1b\[[0-9]*[hl]|\x1b\][012];[^\x07\x1b]{0,256}(?:\x07|\x1b\\)"
)
_ATTRIBUTES: Final = re.compile(rb"\x1b\[[0-9;:]*m")
KEPT_ATTRIBUTES: Final = 32
"""Colour changes still applied, of those in a stretch of output that is skimmed."""
_ALTERNATE: Final = re.compile(rb"\x1b\[\?(?:[0-9]+;)*(?:47|1047|1049)(?:;[0-9]+)*([hl])|\x1bc")
_CUT: Final = re.compile(rb"\x1b[^\\]|\n")


def skim(data: bytes) -> bytes:
    """Only what outlasts the screen in a stretch of output: modes, margins, title, last colours."""
    if b"\x1b" not in data:
        return b""
    colours = _ATTRIBUTES.findall(data)[-KEPT_ATTRIBUTES:]
    return b"".join(_LASTING.findall(data)) + b"".join(colours)


def cut_from(data: bytes, start: int) -> int:
    """Where allowed output may be cut, from `start` on: never within a sequence or a character."""
    found = _CUT.search(data, start)
    return found.start() if found else len(data)


def ends_on_alternate(data: bytes) -> bool:
    """Whether a terminal shows its alternate screen after `data`."""
    found = _ALTERNATE.findall(data)
    return bool(found) and found[-1] == b"h"
