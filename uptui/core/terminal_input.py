"""What a viewer types, made fit for a terminal that is seen through a window."""

import re
from typing import Final

_SGR_MOUSE: Final = re.compile(rb"\x1b\[<(\d{1,5});(\d{1,5});(\d{1,5})([Mm])")
_REPLIES: Final = re.compile(
    rb"\x1b\[\?[0-9;]*c|\x1b\[>[0-9;]*c|\x1b\[\??[0-9;]+\$y|\x1b\[\?[0-9;]+R"
    rb"|\x1bP[^\x1b]{0,512}\x1b\\|\x1b\](?:4|1[0-9]);[^\x07\x1b]{0,128}(?:\x07|\x1b\\)"
)


def without_replies(data: bytes) -> bytes:
    """`data` without what a terminal says by itself in answer to a question.

    Only one terminal may answer a program, and for a shared one that is the emulator.
    """
    return _REPLIES.sub(b"", data) if b"\x1b" in data else data


def shift_mouse(data: bytes, left: int, top: int, columns: int, rows: int) -> bytes:
    """Mouse reports moved by a view's offset; those outside the terminal are dropped."""

    def moved(match: re.Match[bytes]) -> bytes:
        x, y = int(match[2]) + left, int(match[3]) + top
        if not (1 <= x <= columns and 1 <= y <= rows):
            return b""
        return b"\x1b[<%d;%d;%d%b" % (int(match[1]), x, y, match[4])

    return _SGR_MOUSE.sub(moved, data) if b"\x1b[<" in data else data
