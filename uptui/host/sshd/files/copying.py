"""copy-data: bytes from one open file to another, a piece at a time.

A piece lasts a fraction of a second and looks its handles and its role up anew, so that a copy ends
with its session, its handles or its rights, and never keeps a thread from others.
"""

import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uptui.core.roles import Capability
from uptui.host.sshd.files import codec
from uptui.host.sshd.files.codec import Reader, Status
from uptui.host.sshd.files.handles import OpenFile

if TYPE_CHECKING:
    from uptui.host.sshd.files.handlers import Files
    from uptui.host.sshd.files.replies import Reply

PIECE: Final = 256 * 1024
"""Bytes moved by one call, few enough that the allocator has them at hand."""
TURN: Final = 0.05
"""Seconds after which a copy makes room for other work."""
UNTOLD: Final = 16 * 1024 * 1024
"""Bytes copied at most from a file that does not tell its size, as those of /proc and /sys."""


def copy_data(files: "Files", request: int, reader: Reader) -> "Reply":
    """Begin a copy. A length of 0 copies up to what is the end now: a file that grows by being
    copied has no other.

    Fails for two handles of one file, whatever their names, where sftp-server compares the names.
    """
    source, at, length = reader.string(), reader.u64(), reader.u64()
    target, to = reader.string(), reader.u64()
    files.need(Capability.READ)
    files.need(Capability.WRITE)
    reading, writing = files.file(source), files.file(target)
    found = os.fstat(reading.fd)
    if os.path.samestat(found, os.fstat(writing.fd)):
        return codec.status_packet(request, Status.FAILURE, "both are the same file")
    end = _end(reading, found)
    if end is not None:
        left = max(0, end - at)
        length = min(length, left) if length else left
    elif not length:
        return codec.status_packet(request, Status.FAILURE, "this has no end: say how many bytes")
    return PendingCopy(files, request, source, at, target, to, length)


def _end(reading: OpenFile, found: os.stat_result) -> int | None:
    """Where it ends at this moment; None where it never does."""
    if stat.S_ISREG(found.st_mode):
        return found.st_size or UNTOLD
    if stat.S_ISBLK(found.st_mode):
        return os.lseek(reading.fd, 0, os.SEEK_END)
    return None


@dataclass(slots=True)
class PendingCopy:
    """What is still to be copied; each call does a piece."""

    files: "Files"
    request: int
    source: bytes
    at: int
    target: bytes
    to: int
    left: int

    def __call__(self) -> "Reply":
        """Itself while there is more to do, then the answer. Raises OSError, OverflowError."""
        self.files.need(Capability.READ)
        self.files.need(Capability.WRITE)
        reading, writing = self.files.file(self.source), self.files.file(self.target)
        until = time.monotonic() + TURN
        while self.left and time.monotonic() < until:
            data = os.pread(reading.fd, min(self.left, PIECE), self.at)
            if data:
                self._write(writing, memoryview(data))
            else:
                self.left = 0
        if writing.transfer is not None:
            self.files.audit.moving(writing.transfer)
        return self if self.left else codec.status_packet(self.request, Status.OK)

    def _write(self, writing: OpenFile, data: memoryview) -> None:
        try:
            writing.write(data, self.to)
        except OSError as error:
            writing.failed(error)
            raise
        self.at += len(data)
        self.to += len(data)
        self.left -= len(data)
        if writing.transfer is not None:
            writing.transfer.count(len(data))
