"""Moves bytes between two sockets inside the kernel, without a copy (splice(2)), through one pipe.

The pipe is empty between two calls, so all sockets share it. Where there is no splice, nothing is
moved and its user reads and writes instead.
"""

import errno
import fcntl
import os
from typing import Final

MOST: Final = 256 * 1024
"""Bytes moved by one call, and of the pipe: what the sink does not take must be kept."""
_F_SETPIPE_SZ: Final = 1031
_UNABLE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM})


class KernelSplice:
    """One pipe, opened when first used."""

    def __init__(self) -> None:
        self._ends: tuple[int, int] | None = None
        self._able = hasattr(os, "splice")

    def move(self, source: int, sink: int) -> tuple[int, bytes]:
        """How many bytes were taken from `source`, and those of them that `sink` did not take.

        Both are descriptors of sockets that do not block. Nothing is taken at the end of `source`,
        which whoever reads from it next will see. Raises OSError when `source` is broken, which
        nobody else will see: the kernel tells it once.
        """
        ends = self._open()
        if ends is None:
            return 0, b""
        writer, inlet = ends
        try:
            taken = os.splice(source, inlet, MOST, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return 0, b""
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            self._able = False
            return 0, b""
        try:
            return taken, self._empty(writer, sink, taken)
        except BaseException:
            self.close()  # what is left in it is nobody else's
            raise

    def close(self) -> None:
        """Give up the pipe; the next call opens another one."""
        ends, self._ends = self._ends, None
        for end in ends or ():
            os.close(end)

    def _open(self) -> tuple[int, int] | None:
        if self._ends is None and self._able:
            try:
                self._ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                fcntl.fcntl(self._ends[1], _F_SETPIPE_SZ, MOST)
            except OSError:
                pass  # no descriptors now, or only a smaller pipe, which will do
        return self._ends if self._able else None

    @staticmethod
    def _empty(writer: int, sink: int, size: int) -> bytes:
        """Pass `size` bytes on; those that `sink` does not take."""
        try:
            while size:
                size -= os.splice(writer, sink, size, flags=os.SPLICE_F_NONBLOCK)
        except OSError:
            pass  # full, or broken: its owner finds out when it writes the rest
        pieces: list[bytes] = []
        while size:
            pieces.append(os.read(writer, size))
            size -= len(pieces[-1])
        return b"".join(pieces)
