"""The control lines of scp's protocol: read from either end, and written. Pure.

The protocol has no specification; limits and words are those of OpenSSH's scp.c.
"""

from dataclasses import dataclass
from typing import Final

from uptui.errors import ProtocolError

MAX_SIZE: Final = 2**63 - 1
"""Bytes of the largest file that there can be (off_t)."""
MAX_TIME: Final = 2**63 - 1
"""Seconds (time_t)."""
MAX_DIGITS: Final = 20
"""No number in a line has more."""
MODE_DIGITS: Final = 4
MICROSECONDS: Final = 1_000_000
MAX_SHOWN: Final = 200
"""Bytes of a name that an error repeats."""


class LineError(ProtocolError):
    """A line that no scp sends; the text says what is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """C and D: a file's bytes, or a directory's entries, come next."""

    directory: bool
    mode: int
    """Permission bits with those for user, group and sticky."""
    size: int
    name: bytes


@dataclass(frozen=True)
class Times:
    """T: for the entry that follows, in Unix seconds."""

    accessed: int
    modified: int

    @property
    def both(self) -> tuple[int, int]:
        """As os.utime takes them."""
        return self.accessed, self.modified


@dataclass(frozen=True)
class End:
    """E: the directory is complete."""


@dataclass(frozen=True)
class Complaint:
    """What went wrong at the other end."""

    fatal: bool
    text: bytes


Line = Entry | Times | End | Complaint


def parse(line: bytes) -> Line:
    """What a line without its end says. Raises LineError."""
    kind, rest = line[:1], line[1:]
    if kind in {b"C", b"D"}:
        return _entry(rest, directory=kind == b"D")
    if kind == b"T":
        return _times(rest)
    if line == b"E":
        return End()
    if kind in {b"\1", b"\2"}:
        return Complaint(kind == b"\2", rest)
    raise _wrong("expected control record")


def _entry(rest: bytes, *, directory: bool) -> Entry:
    mode, _, rest = rest.partition(b" ")
    size, delimiter, name = rest.partition(b" ")
    if len(mode) != MODE_DIGITS or set(mode) - set(b"01234567"):
        raise _wrong("bad mode")
    if not delimiter:
        raise _wrong("size not delimited")
    if not name or b"/" in name or b"\0" in name or b"\n" in name or name in {b".", b".."}:
        raise _wrong(f"unexpected filename: {name[:MAX_SHOWN].decode(errors='replace')}")
    return Entry(directory, int(mode, 8), _number(size, MAX_SIZE, "size"), name)


def _times(rest: bytes) -> Times:
    words = rest.split(b" ")
    if len(words) != 4:
        raise _wrong("mtime or atime not delimited")
    modified, accessed = (_number(words[at], MAX_TIME, "time") for at in (0, 2))
    for at in (1, 3):
        _number(words[at], MICROSECONDS - 1, "microseconds")
    return Times(accessed, modified)


def _number(digits: bytes, most: int, what: str) -> int:
    if not digits.isdigit():
        raise _wrong(f"{what} not present")
    if len(digits) > MAX_DIGITS or int(digits) > most:
        raise _wrong(f"{what} out of range")
    return int(digits)


def _wrong(what: str) -> LineError:
    return LineError(f"protocol error: {what}")


def written(line: Line) -> bytes:
    """It as bytes, with its end."""
    if isinstance(line, Entry):
        name = line.name.replace(b"\n", b"\\^J")
        return b"%s%04o %d %s\n" % (b"D" if line.directory else b"C", line.mode, line.size, name)
    if isinstance(line, Times):
        return b"T%d 0 %d 0\n" % (max(0, line.modified), max(0, line.accessed))
    if isinstance(line, Complaint):
        return (b"\2" if line.fatal else b"\1") + line.text.replace(b"\n", b" ") + b"\n"
    return b"E\n"
