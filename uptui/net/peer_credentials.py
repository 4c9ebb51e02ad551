"""Who is at the other end of a Unix socket, as the kernel says."""

import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

_CREDENTIALS: Final = struct.Struct("iII")


@dataclass(frozen=True)
class Peer:
    """The process that connected, or that listens."""

    pid: int
    """0 when it lives in another PID namespace."""
    uid: int


def peer(sock: Any) -> Peer | None:
    """The other end; None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid)
