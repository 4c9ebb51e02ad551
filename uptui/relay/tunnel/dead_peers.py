"""Reaps connections whose peer is dead although bytes to it are on their way.

TCP keepalives ask only on idle connections; with bytes outstanding the kernel would go on for a
quarter of an hour. TCP_USER_TIMEOUT is no help: it also ends a peer that is stopped but alive and
answers every probe of its closed window. So the silence of the peer is what counts here.
"""

import asyncio
import contextlib
import socket
import struct
import weakref
from dataclasses import dataclass
from typing import Final

from uptui.net.tcp_timeout import bound_retries
from uptui.relay import logs

SILENCE: Final = 80.0
"""Seconds without any segment from a peer to which bytes are on their way, then it is dead."""
INTERVAL: Final = 5.0
"""Seconds between looks at all connections."""
AT_ONCE: Final = 500
"""Connections looked at before others get their turn."""
UNCAPPED_PROBES: Final = 210.0
"""SILENCE for closed windows on kernels that probe them only every two minutes."""

_INFO_SIZE: Final = 104
_INFO: Final = struct.Struct("=8B24I")
_PROBES, _UNACKED, _LAST_ACK = 3, 8 + 4, 8 + 12
_LINGER_NONE: Final = struct.pack("ii", 1, 0)

log = logs.logger("uptui.relay.tunnel.dead_peers")


@dataclass(frozen=True)
class Vitals:
    """What the kernel knows of a connection."""

    waits: bool
    """Bytes have been sent that are not acknowledged."""
    probing: bool
    """A probe of the peer's closed window has not been answered."""
    silent: float
    """Seconds since anything came from the peer."""


def vitals(sock: socket.socket) -> Vitals | None:
    """The state of a TCP connection; None where the system does not tell it."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, option, _INFO_SIZE)
    except OSError:
        return None
    if len(raw) < _INFO_SIZE:
        return None
    fields = _INFO.unpack(raw)
    return Vitals(fields[_UNACKED] > 0, fields[_PROBES] > 0, fields[_LAST_ACK] / 1000)


class DeadPeers:
    """Every TCP connection that was accepted."""

    def __init__(self) -> None:
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._capped = False

    def watch(self, sock: socket.socket) -> None:
        """Look after `sock` until it is closed."""
        self._capped = bound_retries(sock) or self._capped
        self._sockets.add(sock)

    async def run(self) -> None:
        """Reap until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.reap()

    async def reap(self) -> None:
        """Cut off every connection whose peer is dead."""
        for number, sock in enumerate(list(self._sockets)):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            if sock.fileno() < 0:
                self._sockets.discard(sock)
            elif (state := vitals(sock)) is not None and self._dead(state):
                log.info("peer_dead", silent=state.silent)
                _cut(sock)
                self._sockets.discard(sock)

    def _dead(self, state: Vitals) -> bool:
        if state.waits:
            return state.silent >= SILENCE
        return state.probing and state.silent >= (SILENCE if self._capped else UNCAPPED_PROBES)


def _cut(sock: socket.socket) -> None:
    """Make its transport fail at once and leave nothing for the kernel to deliver."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        sock.shutdown(socket.SHUT_RDWR)
