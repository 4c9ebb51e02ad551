"""Terminal output as a stream of whole sequences; knows the grammar of ECMA-48, not its meaning.

Output that several terminals show is cut only between sequences, so that something else can be put
in between, and is rid of questions: each watching terminal would answer, and the program would
take the answers for typing.
"""

import re
from typing import Final

MAX_HELD: Final = 4096
"""Bytes of an unfinished sequence that wait for their end; a longer one passes in pieces."""

_STRING_START: Final = rb"\x1b[P\]X^_]"
_OPEN: Final = re.compile(
    rb"(?:\x1b(?:\[[0-?]*[ -/]*|[ -/]+|[P\]X^_][^\x07\x18\x1a\x1b]*\x1b?)?"
    rb"|[\xc2-\xf4][\x80-\xbf]{0,2})\Z"
)
_STRING_END: Final = re.compile(rb"[\x07\x18\x1a]|\x1b\\|\x1b(?=[^\\])")
_IN_STRING: Final = re.compile(_STRING_START)
_UTF8_LENGTH: Final = ((0xF0, 4), (0xE0, 3), (0xC2, 2))
_QUESTIONS: Final = re.compile(
    rb"\x1b\[[>=]?[0-9;]*c"  # device attributes
    rb"|\x1b\[\??[0-9;]*n"  # status and cursor position
    rb"|\x1b\[\??[0-9;]*\$p"  # DECRQM
    rb"|\x1b\[>[0-9;]*q|\x1b\[\?u|\x1b\[\?[0-9;]*m"  # XTVERSION, kitty keyboard, XTQMODKEYS
    rb"|\x1b\[[0-9;]*x"  # DECREQTPARM
    rb"|\x1b\[(?:1[1-9]|2[01])(?:;[0-9]*)*t"  # window reports
    rb"|\x1bP[$+]q[^\x07\x1b]*\x1b\\"  # DECRQSS, XTGETTCAP
    rb"|\x1b\](?:4;[0-9]+|1[0-9]|5;[0-9]+|52;[a-z0-9]*);\?(?:\x07|\x1b\\)"  # colours, clipboard
    rb"|\x1bZ|\x05"
)
_LASTING: Final = re.compile(
    rb"\x1b\[\?[0-9;]+[hl]|\x1b\[[0-9;]*r|\x1b\[!p|\x1b[=>78c]|\x1b\[[su]|\x1b\[[0-9;]*[ ]q"
    rb"|\x1b[()][0-9A-Za-z]|[\x0e\x0f]|\x1b\[[0-9]*[hl]|\x1b\][012];[^\x07\x1b]{0,256}(?:\x07|\x1b\\)"
)
_ATTRIBUTES: Final = re.compile(rb"\x1b\[[0-9;:]*m")
KEPT_ATTRIBUTES: Final = 32
"""Colour changes still applied, of those in a stretch of output that is skimmed."""


class StreamFilter:
    """Passes output on in whole sequences."""

    def __init__(self) -> None:
        self._held = b""
        self._in_string = False

    @property
    def between_sequences(self) -> bool:
        """Whether what has passed ended where something else may be inserted."""
        return not self._in_string

    def feed(self, data: bytes) -> bytes:
        """What may pass now; an unfinished end waits for the next call."""
        data = self._held + data
        self._held = b""
        prefix = b""
        if self._in_string:
            end = _STRING_END.search(data)
            if end is None:
                return data
            self._in_string = False
            prefix, data = data[: end.end()], data[end.end() :]
        return prefix + self._hold_back(data)

    def flush(self) -> bytes:
        """The end that was waiting, when nothing follows any more."""
        held, self._held = self._held, b""
        return held

    def _hold_back(self, data: bytes) -> bytes:
        start = max(0, len(data) - MAX_HELD)
        unfinished = None
        if not data.isascii() or data.find(b"\x1b", start) >= 0:
            unfinished = _OPEN.search(data, start)
        if unfinished is None or _complete(unfinished.group()):
            self._in_string = start > 0 and _ends_in_string(data)
            return data
        self._held = data[unfinished.start() :]
        return data[: unfinished.start()]


def _complete(tail: bytes) -> bool:
    """Whether a tail that looks like the start of a UTF-8 character is one already."""
    for lead, length in _UTF8_LENGTH:
        if tail[0] >= lead:
            return len(tail) >= length
    return False


def _ends_in_string(data: bytes) -> bool:
    """Whether `data` ends inside a string too long to be held back."""
    at = data.rfind(b"\x1b")
    return _IN_STRING.match(data, max(at, 0)) is not None and not _STRING_END.search(data, at + 1)


def without_questions(data: bytes) -> bytes:
    """`data` without the sequences that a terminal answers."""
    if b"\x1b" not in data and b"\x05" not in data:
        return data
    return _QUESTIONS.sub(b"", data)


def skim(data: bytes) -> bytes:
    """Only what outlasts the screen in a stretch of output: modes, margins, title, last colours."""
    if b"\x1b" not in data:
        return b""
    colours = _ATTRIBUTES.findall(data)[-KEPT_ATTRIBUTES:]
    return b"".join(_LASTING.findall(data)) + b"".join(colours)
