"""Write many pieces at once: straight to the socket, without joining them first, if it is free."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

MOST: Final = 512
"""Pieces of one system call; the kernel takes 1,024 (writev(2))."""

WRITE_SIZE: Final = 256 * 1024
"""Bytes gathered for one write."""


class Outbox:
    """Within `with` it gathers what is put in, and hands it on by the end; may be nested."""

    __slots__ = ("_parts", "_size", "_write", "depth")

    def __init__(self, write: Callable[[Sequence[bytes], int], None]) -> None:
        """`write` takes the pieces and how many bytes they are."""
        self._write = write
        self._parts: list[bytes] = []
        self._size = 0
        self.depth = 0
        """How many `with` are open; 0 hands on at once."""

    def put(self, data: bytes, more: bytes = b"") -> None:
        """Add `data` and, right after it, `more`."""
        size = len(data) + len(more)
        if not self.depth and not self._parts:
            self._write((data, more), size)
            return
        self._parts += (data, more)
        self._size += size
        if not self.depth or self._size >= WRITE_SIZE:
            self.flush()

    def flush(self) -> None:
        """Hand on what there is now."""
        if self._parts:
            parts, size = self._parts, self._size
            self._parts, self._size = [], 0
            self._write(parts, size)

    def close(self) -> None:
        """Hand on what there is now, and drop what comes later."""
        self.flush()
        self._write = _drop

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if not self.depth:
            self.flush()


def _drop(parts: Sequence[bytes], size: int) -> None:
    del parts, size


def write_all(transport: asyncio.WriteTransport, pieces: Sequence[bytes]) -> None:
    """As transport.writelines, which copies all of them (in Python 3.11)."""
    if 1 < len(pieces) <= MOST:
        pieces = _rest(pieces, _write_now(transport, pieces))
    if pieces:
        transport.write(b"".join(pieces))


def _write_now(transport: asyncio.WriteTransport, pieces: Sequence[bytes]) -> int:
    """How many bytes the socket has taken."""
    sock = transport.get_extra_info("socket")
    encrypted = transport.get_extra_info("sslcontext") is not None
    if sock is None or encrypted or transport.is_closing() or transport.get_write_buffer_size():
        return 0
    try:
        return os.writev(sock.fileno(), pieces)
    except OSError:
        return 0  # full, or broken: then the transport finds out, too


def _rest(pieces: Sequence[bytes], done: int) -> Sequence[bytes]:
    """What is left of `pieces` after their first `done` bytes."""
    for number, piece in enumerate(pieces):
        if done < len(piece):
            return [piece[done:], *pieces[number + 1 :]]
        done -= len(piece)
    return []
