"""Sockets that systemd has already opened for us (sd_listen_fds(3)), found by their address.

With them a restart loses no client: the kernel keeps accepting while the new process starts.
"""

import os
import socket
from typing import Final

FIRST_FD: Final = 3
MAX_FDS: Final = 1024


def inherited(host: str, port: int) -> socket.socket | None:
    """The listening TCP socket handed to this process for this port and host, or None.

    An empty or unspecified host matches any socket of that port.
    """
    for descriptor in _descriptors():
        sock = _listening(descriptor)
        if sock is None:
            continue
        found = sock.getsockname()
        everywhere = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        if found[1] == port and (host in everywhere or found[0] in everywhere | {host}):
            sock.setblocking(False)
            return sock
        sock.detach()
    return None


def is_inherited(sock: socket.socket) -> bool:
    """Whether systemd has opened this socket, and keeps it open without us."""
    return sock.fileno() in _descriptors()


def _descriptors() -> range:
    try:
        meant_for_us = int(os.environ.get("LISTEN_PID", "")) == os.getpid()
        count = int(os.environ.get("LISTEN_FDS", ""))
    except ValueError:
        return range(0)
    if not meant_for_us or not 0 < count <= MAX_FDS:
        return range(0)
    return range(FIRST_FD, FIRST_FD + count)


def _listening(descriptor: int) -> socket.socket | None:
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        is_tcp = sock.family in {socket.AF_INET, socket.AF_INET6}
        if is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            os.set_inheritable(descriptor, False)
            return sock
    except OSError:
        pass
    sock.detach()
    return None
