"""Makes text from strangers fit for a terminal; knows nothing about who sent it."""

import re
import unicodedata
from typing import Final

MAX_NAME: Final = 64
"""Characters kept of a user or person name."""
MAX_LINE: Final = 200
"""Characters kept of one line, such as a client's version or what it asks for."""
MAX_COMBINING: Final = 2
"""Combining marks kept on one character; more only serve to smear the lines around."""

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, ...
    r"|\x1b[ -/]*[0-~]"
)
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SPACES = frozenset({"Zs", "Zl", "Zp"})
_INPUT_FACTOR = 8


def _kept(text: str) -> str:
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category in _SPACES:
            out.append(" ")
            marks = 0
        elif category in {"Mn", "Me"}:
            marks += 1
            if marks <= MAX_COMBINING:
                out.append(character)
        elif category not in _DROPPED:
            out.append(character)
            marks = 0
    return "".join(out)


def clean(text: str, limit: int = MAX_LINE) -> str:
    """`text` on one line, without escape sequences, control or bidirectional characters.

    At most `limit` characters stay; what is cut ends in `…`.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = " ".join(_kept(_SEQUENCE.sub("", text[: limit * _INPUT_FACTOR])).split())
    cut = len(kept) > limit or (len(text) > limit * _INPUT_FACTOR and len(kept) == limit)
    return f"{kept[: limit - 1]}…" if cut else kept


def clean_name(text: str) -> str:
    """A name of at most MAX_NAME characters; see clean()."""
    return clean(text, MAX_NAME)
