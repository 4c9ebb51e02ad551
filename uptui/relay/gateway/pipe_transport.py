"""Carries an asyncssh connection over a PipeEnd, so that it obeys the same rules as a pipe.

asyncssh ignores a transport that asks it to pause, and drops what is unsent when it closes. Here
`choke` says when the network is slow, and closing delivers first.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from asyncssh.connection import SSHConnection

from uptui.relay.settings import SocketAddress
from uptui.relay.tunnel.pipe import READ_SIZE, SMALL_READ, PipeEnd

LONG_TURN: Final = 0.02
"""Seconds of work on what one read has brought, after which less is read at once: 256 KiB of tiny
packets are thousands, and everybody waits for them."""

_OF_THE_WIRE: Final = frozenset({"sockname", "socket", "sslcontext"})


class SshLink:
    """One asyncssh connection and the PipeEnd that carries its packets."""

    def __init__(self, end: PipeEnd, peer: SocketAddress, linger: float) -> None:
        self.end = end
        self.choke: Callable[[bool], None] | None = None
        """Called with True when the network takes no more for now, with False when it does."""
        self._conn: SSHConnection | None = None
        self.transport = _Outbound(end, peer)
        self._inside = PipeEnd(linger)
        self._inside.attach(_Inbound(self))
        end.peer, self._inside.peer = self._inside, end

    def start(self, conn: SSHConnection, early: bytes = b"") -> None:
        """Begin the exchange; `early` came from the network before."""
        self._conn = conn
        conn.connection_made(self.transport)
        if early:
            conn.data_received(early)
        if self.end.lost:
            conn.connection_lost(None)
        else:
            self.end.choke(False)

    def hold(self, full: bool) -> None:
        """Stop reading from the network, or go on."""
        self.end.choke(full)

    def received(self, data: bytes) -> None:
        """Bytes from the network."""
        if self._conn is None:
            return
        started = time.perf_counter()
        self._conn.data_received(data)
        took = time.perf_counter() - started
        if took > LONG_TURN:
            self.end.most = max(SMALL_READ, self.end.most // 4)
        elif took < LONG_TURN / 4 and self.end.most < READ_SIZE:
            self.end.most *= 2

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
    """What the pipe end writes to: the connection."""

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
    """What the connection writes to: the pipe end."""

    def __init__(self, end: PipeEnd, peer: SocketAddress) -> None:
        super().__init__()
        self._end = end
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return tuple(self._peer)
        wire = self._end.wire
        if name in _OF_THE_WIRE and isinstance(wire, asyncio.BaseTransport) and not self._end.lost:
            return wire.get_extra_info(name, default)
        return default

    def get_write_buffer_size(self) -> int:
        wire = self._end.wire
        return wire.get_write_buffer_size() if isinstance(wire, asyncio.Transport) else 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._end.lost and self._end.wire is not None:
            self._end.wire.write(bytes(data))

    def is_closing(self) -> bool:
        return self._end.lost

    def pause_reading(self) -> None:
        self._end.choke(True)

    def resume_reading(self) -> None:
        self._end.choke(False)

    def close(self) -> None:
        self._end.close()

    def abort(self) -> None:
        self._end.close()
