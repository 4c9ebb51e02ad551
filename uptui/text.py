"""Makes text from strangers fit for a terminal; knows nothing about who sent it."""

import re
import unicodedata
from typing import Final

MAX_NAME: Final = 64
"""Characters kept of a user or person name."""
MAX_LINE: Final = 200
"""Characters kept of one line, such as a client's version or what it asks for."""
MAX_MESSAGE: Final = 1000
"""Characters kept of an error's text, which may repeat what a stranger said."""
MAX_COMBINING: Final = 2
"""Combining marks kept on one character; more only serve to smear the lines around."""

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, ...
    r"|\x1b[ -/]*[0-~]"
)
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f"
    "\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters of other categories that leave no mark: fillers, selectors, the empty braille cell."""
_SPACES = frozenset({"Zs", "Zl", "Zp"})
_INPUT_FACTOR = 8


def invisible(character: str) -> bool:
    """Whether a character shows nothing, so that a text with it looks like one without."""
    return unicodedata.category(character) in _DROPPED or _UNSEEN.match(character) is not None


def _kept(text: str) -> str:
    out: list[str] = []
    marks = MAX_COMBINING  # none without a character to stand on
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category in _SPACES:
            out.append(" ")
            marks = MAX_COMBINING
        elif invisible(character):
            continue
        elif category in {"Mn", "Me"}:
            marks += 1
            if marks <= MAX_COMBINING:
                out.append(character)
        else:
            out.append(character)
            marks = 0
    return "".join(out)


def clean(text: str, limit: int = MAX_LINE) -> str:
    """`text` on one line, without escape sequences, control, bidirectional or invisible characters.

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
