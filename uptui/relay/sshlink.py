"""Carries an asyncssh connection over a Leg, so that it obeys the same rules as a splice.

asyncssh ignores a transport that asks it to pause, and drops what is unsent when it closes. Here
`choke` says when the network is slow, and closing delivers first.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from asyncssh.connection import SSHConnection

from uptui.relay.settings import Address
from uptui.relay.splice import Leg

_OF_THE_WIRE: Final = frozenset({"sockname", "socket", "sslcontext"})


class SshLink:
    """One asyncssh connection and the Leg that carries its packets."""

    def __init__(self, leg: Leg, peer: Address, linger: float) -> None:
        self.leg = leg
        self.choke: Callable[[bool], None] | None = None
        """Called with True when the network takes no more for now, with False when it does."""
        self._conn: SSHConnection | None = None
        self.transport = _Outbound(leg, peer)
        self._inside = Leg(linger)
        self._inside.attach(_Inbound(self))
        leg.peer, self._inside.peer = self._inside, leg

    def start(self, conn: SSHConnection, early: bytes = b"") -> None:
        """Begin the exchange; `early` came from the network before."""
        self._conn = conn
        conn.connection_made(self.transport)
        if early:
            conn.data_received(early)
        if self.leg.lost:
            conn.connection_lost(None)
        else:
            self.leg.choke(False)

    def hold(self, full: bool) -> None:
        """Stop reading from the network, or go on."""
        self.leg.choke(full)

    def received(self, data: bytes) -> None:
        """Bytes from the network."""
        if self._conn is not None:
            self._conn.data_received(data)

    def ended(self) -> None:
        """The network has nothing more to say, or is gone."""
        self._inside.connection_lost(None)
        if self._conn is not None:
            self._conn.connection_lost(None)

    def choked(self, full: bool) -> None:
        """The network's buffer is full, or has room again."""
        if self.choke is not None:
            self.choke(full)


class _Inbound:
    """What the leg writes to: the connection."""

    def __init__(self, link: SshLink) -> None:
        self._link = link

    def write(self, data: bytes, /) -> None:
        self._link.received(data)

    def write_eof(self) -> None:
        self._link.ended()

    def pause_reading(self) -> None:
        self._link.choked(True)

    def resume_reading(self) -> None:
        self._link.choked(False)

    def close(self) -> None:
        self._link.ended()

    def abort(self) -> None:
        self._link.ended()


class _Outbound(asyncio.Transport):
    """What the connection writes to: the leg."""

    def __init__(self, leg: Leg, peer: Address) -> None:
        super().__init__()
        self._leg = leg
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return tuple(self._peer)
        wire = self._leg.wire
        if name in _OF_THE_WIRE and isinstance(wire, asyncio.BaseTransport) and not self._leg.lost:
            return wire.get_extra_info(name, default)
        return default

    def get_write_buffer_size(self) -> int:
        wire = self._leg.wire
        return wire.get_write_buffer_size() if isinstance(wire, asyncio.Transport) else 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._leg.lost and self._leg.wire is not None:
            self._leg.wire.write(bytes(data))

    def is_closing(self) -> bool:
        return self._leg.lost

    def close(self) -> None:
        self._leg.close()

    def abort(self) -> None:
        self._leg.close()
