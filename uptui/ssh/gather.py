"""Write many pieces at once: straight to the socket, without joining them first, if it is free."""

import asyncio
import os
from collections.abc import Sequence
from typing import Final

MOST: Final = 512
"""Pieces of one system call; the kernel takes 1,024 (writev(2))."""


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
