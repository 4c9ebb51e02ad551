"""Bounds how long TCP waits between retransmissions, for sockets on either side of the relay."""

import contextlib
import socket
import sys
from typing import Final

LONGEST_RETRY: Final = 10.0
"""Seconds between retransmissions and window probes at most, so that a link that was black for a
minute goes on at once; without the bound each wait is twice the one before."""

_RTO_MAX_MS: Final = 44
"""TCP_RTO_MAX_MS of <linux/tcp.h>, Linux 6.15."""


def bound_retries(sock: socket.socket) -> bool:
    """Bound them for `sock`; False where the system cannot."""
    if sys.platform not in {"linux", "android"}:
        return False
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, _RTO_MAX_MS, int(LONGEST_RETRY * 1000))
        return True
    return False
