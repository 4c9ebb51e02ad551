"""What a program's output may do to the terminals of people who watch it: an allow-list.

Printable text, controls that move the cursor, and the sequences named here pass; everything else is
dropped, because what is not known to be harmless may write a clipboard or a file, print, ask, or
change keys. Sources: ECMA-48, DEC STD 070, xterm's ctlseqs.
"""

import re
from typing import Final

from uptui.protocol.terminal import RESET

MAX_HELD: Final = 4096
"""Bytes of one sequence; what is longer, or does not end, is dropped as far as it goes."""
MAX_TITLE: Final = 200
"""Characters of a window title that are passed on."""
MAX_LINK: Final = 2048
"""Bytes of a hyperlink's address; with a longer one the text is shown without a link."""
_DRAWING: Final = (5, 6, 7, 12, 25, 45, 47, 69, 1047, 1048, 1049, 2026)
_INPUT: Final = (1, 9, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004)
MODES: Final = frozenset(_DRAWING + _INPUT)
"""DEC private modes that may change: how things are drawn, and what keys, mouse and paste send."""
ANSI_MODES: Final = frozenset((4, 20))
_CLEARED: Final = b"\x1b[?1049l" + RESET + b"\x1b[H\x1b[2J"

_NUMBERS: Final = rb"(?:[0-9]{0,5}(?:;[0-9]{0,5}){0,15})"
_NUMBER: Final = rb"[0-9]{0,5}"
_QUESTIONS: Final = b"|".join(
    (
        rb"\[[>=]?" + _NUMBERS + rb"c",  # device attributes
        rb"\[\??" + _NUMBERS + rb"n",  # status and cursor position
        rb"\[\??" + _NUMBERS + rb"\$p",  # DECRQM
        rb"\[18t",  # size of the text area
        rb"Z",
    )
)
"""Forms that a terminal answers, of those that our emulator answers; without the first ESC."""
_LONG_QUESTIONS: Final = (
    rb"P[$+]q[ -~]{0,1024}\x1b\\"  # DECRQSS, XTGETTCAP
    rb"|\](?:4(?:;[0-9]{1,3};\?){1,32}|1[0-2];\?)(?:\x07|\x1b\\)"  # colours
)
_TITLES: Final = rb"\]2;[ -~]{0,%d}\x07|\[2[23](?:;[0-2]){0,2}t" % MAX_TITLE
_WIDE_TITLE: Final = rb"\]2;[^\x07]*+\x07"
_SHOWN: Final = b"|".join(
    (
        rb"\[[0-9;:]{0,250}m",
        rb"\[" + _NUMBERS + rb"[@A-GHILMPSX`abdefrs]",
        rb"\[" + _NUMBER + rb"[TZg]",
        rb"\[\??[012]?[JK]",  # 3 J would empty the scrollback, which is the viewer's own
        rb"\[\?(?:" + b"|".join(b"%d" % mode for mode in sorted(MODES)) + rb")[hl]",
        rb"\[(?:4|20)[hl]",
        rb"\[u",
        rb"\[!p",
        rb"\[[0-6]? q",
        rb'\[[012]?"q',
        rb"\[" + _NUMBER + rb" [@A]",
        rb"\[" + _NUMBERS + rb"(?:\$[rtvxz{]|'[}~])",
        rb"\[>4(?:;[0-3]?)?m",
        rb"[6-9=>DEHMNOno]",
        rb"#[34568]",
        rb"[()*+][0-9A-Z<=>]",
    )
)
_OURS: Final = (_QUESTIONS, _LONG_QUESTIONS, _TITLES, _WIDE_TITLE)
_ONLY_OURS: Final = re.compile(rb"\x1b(?!\[[0-9;:]*+[A-Kmr])(?:" + b"|".join(_OURS) + b")")
"""What our emulator is told and no viewer; the first group only saves time."""

_STRING: Final = rb"[PX^_][^\x18\x1a\x1b]*+(?:[\x18\x1a]|\x1b\\)?"
_OSC: Final = rb"\][^\x07\x18\x1a\x1b]*+(?:[\x07\x18\x1a]|\x1b\\)?"
_TO_JUDGE: Final = re.compile(
    rb"\x1b(?!" + b"|".join((_SHOWN, _QUESTIONS, _TITLES)) + rb")"
    rb"(?:\[[ -?]*+[@-~]?|" + _OSC + b"|" + _STRING + rb"|[ -/]++[0-~]?|[0-~])?"
)
_C1: Final = re.compile(rb"\xc2[\x80-\x9f]")
_CANCEL: Final = b"\x18\x1a"
_USED: Final = b"\x07\b\t\n\v\f\r\x0e\x0f\x1b" + _CANCEL
_UNUSED: Final = bytes({*range(0x20), 0x7F} - {*_USED})
_UNFINISHED: Final = re.compile(
    rb"\x1b(?:\[[ -?]*+|[ -/]++|\][^\x07\x18\x1a\x1b]*+\x1b?|[PX^_][^\x18\x1a\x1b]*+\x1b?)?\Z"
)
_CUT_CHARACTER: Final = re.compile(
    rb"(?:[\xc2-\xf4]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xe0[\xa0-\xbf]|\xed[\x80-\x9f]"
    rb"|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]?)\Z"
)
_REST: Final = {
    kind: re.compile(pattern)
    for kinds, pattern in (
        (b"[", rb"[ -?]*+([@-~]?)"),
        (b" ", rb"[ -/]*+([0-~]?)"),
        (b"]", rb"[^\x07\x18\x1a\x1b]*+([\x07\x18\x1a]?)"),
        (b"PX^_", rb"[^\x18\x1a\x1b]*+([\x18\x1a]?)"),
    )
    for kind in kinds
}
"""What still belongs to a sequence of each kind; the group is its end."""
_SET_MODES: Final = re.compile(rb"\x1b\[(\??)([0-9;]+)([hl])")
_TITLE: Final = re.compile(rb"\x1b\][02];(.*?)(?:\x07|\x1b\\)", re.DOTALL)
_LINK: Final = re.compile(
    rb"\x1b\]8;([!-:<-~]*);(?i:(https?|mailto):([!-~]{1,%d}))?(?:\x07|\x1b\\)" % MAX_LINK
)
_LINK_ID: Final = re.compile(rb"(?:\A|:)id=([0-9A-Za-z_.-]{1,64})(?:\Z|:)")
_LONG_QUESTION: Final = re.compile(rb"\x1b(?:" + _LONG_QUESTIONS + b")")
_COLOUR_ROW: Final = re.compile(rb"\x1b\](1[0-2])((?:;\?){2,3})(?:\x07|\x1b\\)")


class AllowedOutput:
    """Output of a program as a stream, cut between sequences, with nothing in it but the allowed.

    How the output is cut into pieces makes no difference. The result is for our emulator: it still
    has titles and questions; `for_viewers` takes those out.
    """

    def __init__(self) -> None:
        self._held = b""
        self._dropping: re.Pattern[bytes] | None = None

    def feed(self, data: bytes) -> bytes:
        """What may pass now; an unfinished end waits for the next call."""
        data = self._held + data.translate(None, _UNUSED)
        data = self._hold_back(self._after_dropped(data))
        wide = not data.isascii()
        if wide:
            data = _valid(data)
        if b"\x1b" in data:
            data = _TO_JUDGE.sub(_judged, data)
        if wide:
            data = _C1.sub(b"", data)
        return data.translate(None, _CANCEL) if b"\x18" in data or b"\x1a" in data else data

    def _after_dropped(self, data: bytes) -> bytes:
        """`data` without what belongs to a sequence that was given up as too long."""
        if self._dropping is None or not data:
            return data
        rest = self._dropping.match(data)
        if rest is None or (rest.end() == len(data) and not rest[1]):
            return b""
        self._dropping = None
        return data[rest.end() :]

    def _hold_back(self, data: bytes) -> bytes:
        self._held = b""
        tail = _UNFINISHED.search(data, data.rfind(b"\x1b", 0, -1)) if b"\x1b" in data else None
        if tail is None:
            tail = None if data.isascii() else _CUT_CHARACTER.search(data, max(len(data) - 3, 0))
        if tail is None:
            return data
        self._held = tail[0]
        if len(self._held) > MAX_HELD:
            self._dropping = _REST[self._held[1] if self._held[1] >= 0x30 else 0x20]
            self._held = b"\x1b" if self._held.endswith(b"\x1b") else b""
        return data[: tail.start()]


def for_viewers(data: bytes) -> bytes:
    """Allowed output without what only our emulator is told: questions and titles.

    Every watching terminal would answer, and the program would take the answers for typing. Titles
    reach viewers from the emulator, which knows those that a program puts aside and takes back.
    """
    return _ONLY_OURS.sub(b"", data) if b"\x1b" in data else data


def clean_title(text: str) -> str:
    """A window title that may be shown: printable characters, at most MAX_TITLE."""
    return "".join(char for char in text if char.isprintable())[:MAX_TITLE]


def _valid(data: bytes) -> bytes:
    """`data` as UTF-8: bytes that are none would be single C1 controls to some terminals."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


def _judged(match: re.Match[bytes]) -> bytes:
    """The harmless form of something that does not pass as it is, or nothing."""
    sequence = match[0]
    if len(sequence) > MAX_HELD:
        return b""
    if sequence == b"\x1bc":
        return _CLEARED
    if _LONG_QUESTION.fullmatch(sequence):
        return sequence
    if sequence.startswith(b"\x1b]8;"):
        return _link(sequence)
    if modes := _SET_MODES.fullmatch(sequence):
        return _modes(*modes.groups())
    if title := _TITLE.fullmatch(sequence):
        return b"\x1b]2;" + clean_title(title[1].decode("utf-8", "replace")).encode() + b"\x07"
    if colours := _COLOUR_ROW.fullmatch(sequence):
        first = int(colours[1])
        numbers = range(first, min(first + len(colours[2]) // 2, 13))
        return b"".join(b"\x1b]%d;?\x07" % number for number in numbers)
    return b""


def _modes(private: bytes, numbers: bytes, final: bytes) -> bytes:
    """Each of several modes by itself, of those that may change."""
    allowed = MODES if private else ANSI_MODES
    found = [int(number) for number in numbers.split(b";")[:16] if 0 < len(number) < 6]
    return b"".join(b"\x1b[%b%d%b" % (private, n, final) for n in found if n in allowed)


def _link(sequence: bytes) -> bytes:
    """The hyperlink in its plainest form; one that may not be ends the link before it."""
    link = _LINK.fullmatch(sequence)
    if link is None or link[2] is None:
        return b"\x1b]8;;\x1b\\"
    found = _LINK_ID.search(link[1])
    name = b"id=" + found[1] if found else b""
    return b"\x1b]8;" + name + b";" + link[2].lower() + b":" + link[3] + b"\x1b\\"
