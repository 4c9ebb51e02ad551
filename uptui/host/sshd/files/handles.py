"""Open files and directories of one SFTP session, and what has gone through each."""

import errno
import os
import resource
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import ClassVar, Final

from uptui.host.sshd.files.transfers import RunningTransfer

MAX_HANDLES: Final = 512
"""Handles open at once in one session."""
MAX_DESCRIPTORS: Final = 2048
"""Descriptors that all sessions of one client hold for handles; fewer where the process itself may
have few."""
PART_OF_ALL: Final = 4
"""One client holds at most this part of all descriptors that the process may have."""


@dataclass(slots=True)
class OpenFile:
    """A file handle."""

    descriptors: ClassVar = 1

    fd: int
    path: str
    flags: int
    transfer: RunningTransfer | None = None
    problem: str = ""
    """First failed write, in words."""
    nowait: bool = True
    """Whether the file system can say that a read would block (RWF_NOWAIT), as far as is known."""

    def write(self, data: memoryview, offset: int) -> None:
        """Write at `offset`, or at the end of a file opened for appending. Raises OSError."""
        done = 0
        while done < len(data):
            piece = data[done:] if done else data
            if self.flags & os.O_APPEND:
                done += os.write(self.fd, piece)
            else:
                done += os.pwrite(self.fd, piece, offset + done)

    def failed(self, error: OSError) -> None:
        """What was written is not all there: the transfer ends with the first reason."""
        self.problem = self.problem or error.strerror or "write failed"

    def close(self) -> None:
        """Raises OSError, as when a disk at the far end of a network was full."""
        os.close(self.fd)


class OpenDirectory:
    """A directory handle, read as its client asks: names that nobody asked for stay on the disk."""

    descriptors = 2

    def __init__(self, fd: int) -> None:
        """Owns `fd`, also when it raises OSError."""
        self.fd = fd
        self.over = False
        """All names have been given."""
        self._dots = [b"..", b"."]
        try:
            self._entries = os.scandir(fd)
        except OSError:
            os.close(fd)
            raise

    def name(self) -> bytes | None:
        """The next one, None after the last. Raises OSError; may wait for a disk."""
        if self._dots:
            return self._dots.pop()
        entry = next(self._entries, None)
        self.over = entry is None
        return None if entry is None else os.fsencode(entry.name)

    def close(self) -> None:
        """Raises OSError."""
        self._entries.close()
        os.close(self.fd)


def most_descriptors() -> int:
    """That one client may hold for handles."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft < 0 else min(MAX_DESCRIPTORS, soft // PART_OF_ALL)


class OpenHandles:
    """What one client has open in all its sessions."""

    def __init__(self) -> None:
        self.descriptors = 0

    def need_room(self, descriptors: int) -> None:
        """Raise OSError (EMFILE) unless so many more fit."""
        if self.descriptors + descriptors > most_descriptors():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    @contextmanager
    def room(self, descriptors: int) -> Generator[None]:
        """Count so many within the block. Raises OSError (EMFILE)."""
        self.need_room(descriptors)
        self.descriptors += descriptors
        try:
            yield
        finally:
            self.descriptors -= descriptors


class Handles:
    """The table; ids are never reused within a session."""

    def __init__(self, held: OpenHandles) -> None:
        """`held` counts the client's handles with those of its other sessions."""
        self._open: dict[bytes, OpenFile | OpenDirectory] = {}
        self._next = 0
        self._held = held

    def __len__(self) -> int:
        return len(self._open)

    def need_room(self, descriptors: int) -> None:
        """Raise OSError (EMFILE) unless one more handle with so many fits."""
        self._held.need_room(descriptors)
        if len(self._open) >= MAX_HANDLES:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def add(self, opened: OpenFile | OpenDirectory) -> bytes:
        handle = self._next.to_bytes(4, "big")
        self._next += 1
        self._open[handle] = opened
        self._held.descriptors += opened.descriptors
        return handle

    def file(self, handle: bytes) -> OpenFile | None:
        opened = self._open.get(handle)
        return opened if isinstance(opened, OpenFile) else None

    def directory(self, handle: bytes) -> OpenDirectory | None:
        opened = self._open.get(handle)
        return opened if isinstance(opened, OpenDirectory) else None

    def pop(self, handle: bytes) -> OpenFile | OpenDirectory | None:
        opened = self._open.pop(handle, None)
        if opened is not None:
            self._held.descriptors -= opened.descriptors
        return opened

    def drain(self) -> Iterator[OpenFile]:
        """Close everything, yielding each file once its descriptor is closed."""
        for handle in list(self._open):
            opened = self.pop(handle)
            assert opened is not None
            with suppress(OSError):
                opened.close()
            if isinstance(opened, OpenFile):
                yield opened
