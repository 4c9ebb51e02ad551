"""The file of a Unix socket, held open: what is looked at is what is connected to.

A path may lead elsewhere a moment later; an open descriptor does not (on Linux, where /proc shows
what it is; elsewhere the path behind links has to do).
"""

import asyncio
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_DESCRIPTORS: Final = Path("/proc/self/fd")


class SocketFile:
    """An existing path, opened but not used; closed by the end of the block."""

    def __init__(self, path: str) -> None:
        """Raises OSError, and ValueError for a path with a NUL."""
        self._fd = -1
        if hasattr(os, "O_PATH") and _DESCRIPTORS.is_dir():
            self._fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            real = str((_DESCRIPTORS / str(self._fd)).readlink())
        else:
            real = os.path.realpath(path, strict=True)
        self.path = real
        """Behind links: what the allow and deny lists are about."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def status(self) -> os.stat_result:
        """Raises OSError."""
        return os.fstat(self._fd) if self._fd >= 0 else Path(self.path).stat()

    async def connect(self) -> socket.socket:
        """A socket connected to it. Raises OSError."""
        where = f"{_DESCRIPTORS}/{self._fd}" if self._fd >= 0 else self.path
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, where)
        except ValueError as error:
            sock.close()
            raise OSError(str(error)) from error
        except BaseException:
            sock.close()
            raise
        return sock
