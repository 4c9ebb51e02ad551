"""Tell an SSH client why it cannot come in, before any key exchange (RFC 4253, 4.2 and 11.1)."""

import asyncio
import contextlib
import socket
import struct
from typing import Final

VERSION: Final = "uptui"
PATIENCE: Final = 3.0
"""Seconds that a refused client gets to read why."""
MAX_DRAINED: Final = 64 * 1024
_HOST_NOT_ALLOWED = 1
_MSG_DISCONNECT = 1


def disconnect_packet(text: str) -> bytes:
    """An unencrypted SSH_MSG_DISCONNECT with `text` as its description."""
    words = text.encode()
    payload = struct.pack(">BII", _MSG_DISCONNECT, _HOST_NOT_ALLOWED, len(words)) + words
    payload += struct.pack(">I", 0)
    padding = 8 - (len(payload) + 5) % 8
    if padding < 4:
        padding += 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


async def refuse(sock: socket.socket, text: str) -> None:
    """Say `text` to the client behind `sock` and close it; takes PATIENCE seconds at most.

    What the client sends is read and dropped: closing over unread bytes would reset the connection
    before the client has seen the message.
    """
    loop = asyncio.get_running_loop()
    message = f"SSH-2.0-{VERSION}\r\n".encode() + disconnect_packet(text)
    with contextlib.closing(sock), contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await loop.sock_sendall(sock, message)
            sock.shutdown(socket.SHUT_WR)
            drained = 0
            while drained < MAX_DRAINED:
                data = await loop.sock_recv(sock, 4096)
                if not data:
                    return
                drained += len(data)
