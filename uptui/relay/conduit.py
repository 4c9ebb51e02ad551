"""Moves bytes between two sockets inside the kernel, without a copy (splice(2)), through one pipe.

The pipe is empty between two calls, so all sockets share it. Where there is no splice, nothing is
moved and its user reads and writes instead.
"""

import errno
import fcntl
import os
from typing import Final

PIPE_SIZE: Final = 1024 * 1024
"""Bytes of the pipe, the most that an unprivileged process may ask for by default; one call moves
no more."""
_F_SETPIPE_SZ: Final = 1031
_UNABLE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EBADF})


class Conduit:
    """One pipe, opened when first used."""

    def __init__(self) -> None:
        self._ends: tuple[int, int] | None = None
        self._able = hasattr(os, "splice")

    def move(self, source: int, sink: int) -> tuple[int, bytes]:
        """How many bytes were taken from `source`, and those of them that `sink` did not take.

        Both are descriptors of sockets that do not block. Nothing is taken at the end of `source`
        or after an error, which whoever reads from it next will see.
        """
        ends = self._open()
        if ends is None:
            return 0, b""
        outlet, inlet = ends
        try:
            taken = os.splice(source, inlet, PIPE_SIZE, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            self._able = error.errno not in _UNABLE
            return 0, b""
        left = taken
        try:
            while left:
                left -= os.splice(outlet, sink, left, flags=os.SPLICE_F_NONBLOCK)
        except OSError:
            pass  # full, or broken: its owner finds out when it writes the rest
        return taken, self._drained(outlet, left)

    def _open(self) -> tuple[int, int] | None:
        if self._ends is None and self._able:
            try:
                self._ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                fcntl.fcntl(self._ends[1], _F_SETPIPE_SZ, PIPE_SIZE)
            except OSError:
                self._able = self._ends is not None  # a smaller pipe does, too
        return self._ends if self._able else None

    @staticmethod
    def _drained(outlet: int, size: int) -> bytes:
        pieces: list[bytes] = []
        while size:
            pieces.append(os.read(outlet, size))
            size -= len(pieces[-1])
        return b"".join(pieces)
