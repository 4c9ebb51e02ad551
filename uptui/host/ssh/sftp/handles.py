"""Open files and directories of one SFTP session, and what has gone through each."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from uptui.host.ssh.transfers import Running

MAX_HANDLES: Final = 512
"""Handles open at once in one session."""


@dataclass(slots=True)
class OpenFile:
    """A file handle."""

    fd: int
    path: str
    flags: int
    transfer: Running | None = None
    problem: str = ""
    """First failed write, in words."""
    nowait: bool = True
    """Whether the file system can say that a read would block (RWF_NOWAIT), as far as is known."""

    def failed(self, error: OSError) -> None:
        """What was written is not all there: the transfer ends with the first reason."""
        self.problem = self.problem or error.strerror or "write failed"


@dataclass(slots=True)
class OpenDirectory:
    """A directory handle: the open directory and the names not yet sent."""

    fd: int
    names: list[bytes] = field(default_factory=list[bytes])


class Handles:
    """The table; ids are never reused within a session."""

    def __init__(self) -> None:
        self._open: dict[bytes, OpenFile | OpenDirectory] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        return len(self._open) >= MAX_HANDLES

    def add(self, opened: OpenFile | OpenDirectory) -> bytes:
        handle = self._next.to_bytes(4, "big")
        self._next += 1
        self._open[handle] = opened
        return handle

    def file(self, handle: bytes) -> OpenFile | None:
        opened = self._open.get(handle)
        return opened if isinstance(opened, OpenFile) else None

    def directory(self, handle: bytes) -> OpenDirectory | None:
        opened = self._open.get(handle)
        return opened if isinstance(opened, OpenDirectory) else None

    def pop(self, handle: bytes) -> OpenFile | OpenDirectory | None:
        return self._open.pop(handle, None)

    def drain(self) -> Iterator[OpenFile]:
        """Close everything, yielding each file once its descriptor is closed."""
        while self._open:
            _, opened = self._open.popitem()
            with suppress(OSError):
                os.close(opened.fd)
            if isinstance(opened, OpenFile):
                yield opened
