"""Joins an SSH channel and a socket: bytes both ways, half-close, back-pressure, nothing else."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import asyncssh

from uptui.core.traffic import ByteCounter
from uptui.host.process.flow import READ_SIZE, TURNS

SOCKET_HIGH: Final = 256 * 1024
"""Bytes waiting for a slow socket before the client is slowed; its window comes on top."""
CHANNEL_HIGH: Final = 128 * 1024
"""Bytes waiting for a slow client before the socket is slowed."""
LINGER: Final = 30.0
"""Seconds that a socket has to take its last bytes after the channel has closed."""

_buffer = memoryview(bytearray(READ_SIZE))
"""Shared by all bridges: filled and emptied within one callback of the event loop."""


class BridgeChannel(Protocol):
    """The part of an asyncssh channel that a bridge uses."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class SocketSide(asyncio.BufferedProtocol):
    """The socket's half; it reads nothing until the bridge's channel is open."""

    def __init__(self, bridge: "Bridge") -> None:
        self._bridge = bridge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._bridge.socket_made(cast("asyncio.Transport", transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return _buffer[: TURNS.size]

    def buffer_updated(self, nbytes: int) -> None:
        self._bridge.socket_data(_buffer[:nbytes])

    def eof_received(self) -> bool:
        self._bridge.socket_eof()
        return True

    def pause_writing(self) -> None:
        self._bridge.socket_full(full=True)

    def resume_writing(self) -> None:
        self._bridge.socket_full(full=False)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._bridge.socket_lost()


class Bridge(asyncssh.SSHTCPSession[bytes]):
    """A forwarded connection: the channel's session, and owner of the socket's half.

    It serves every kind of forwarding channel: asyncssh tells them apart by type only.

    `ended` is called exactly once, when the channel or the attempt to open one is over.
    """

    def __init__(self, counter: ByteCounter, ended: Callable[["Bridge"], None]) -> None:
        self._counter = counter
        self._ended = ended
        self._socket: asyncio.Transport | None = None
        self._channel: BridgeChannel | None = None
        self._socket_done = False
        self._channel_done = False
        self._over = False

    def protocol(self) -> SocketSide:
        """The protocol for the socket's transport."""
        return SocketSide(self)

    def abort(self) -> None:
        """End both halves at once."""
        if self._channel is not None:
            self._channel.abort()
        if self._socket is not None:
            self._socket.abort()
        self._end()

    # The channel's half: asyncssh session

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = cast("BridgeChannel", chan)
        chan.set_write_buffer_limits(CHANNEL_HIGH)

    def session_started(self) -> None:
        if self._socket is not None and not self._over:
            self._socket.resume_reading()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        self._counter.count_received(len(data))
        if self._socket is not None:
            self._socket.write(data)

    def eof_received(self) -> bool:
        self._channel_done = True
        if self._socket is not None and not self._socket.is_closing():
            if self._socket_done:
                self._socket.close()
            elif self._socket.can_write_eof():
                self._socket.write_eof()
        self._close_when_done()
        return True

    def pause_writing(self) -> None:
        if self._socket is not None and not self._socket_done:
            self._socket.pause_reading()

    def resume_writing(self) -> None:
        if self._socket is not None and not self._socket_done:
            self._socket.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._channel = None
        socket = self._socket
        if socket is not None:
            socket.close()
            if socket.get_write_buffer_size():
                asyncio.get_running_loop().call_later(LINGER, socket.abort)
        self._end()

    # The socket's half

    def socket_made(self, transport: asyncio.Transport) -> None:
        """The socket is connected."""
        self._socket = transport
        transport.set_write_buffer_limits(SOCKET_HIGH)
        if self._over:
            transport.abort()
        elif self._channel is None:
            transport.pause_reading()

    def socket_data(self, view: memoryview) -> None:
        """Bytes from the socket, valid during this call."""
        channel = self._channel
        if channel is None or channel.is_closing():
            return
        self._counter.count_sent(len(view))
        channel.write(bytes(view))

    def socket_eof(self) -> None:
        """The socket sends no more."""
        self._socket_done = True
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()
        self._close_when_done()

    def socket_full(self, *, full: bool) -> None:
        """The socket takes no more bytes for now, or takes them again."""
        if self._channel is None:
            return
        if full:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    def socket_lost(self) -> None:
        """The socket is closed or broken: so is the channel, after what it has still to send."""
        self._socket = None
        self._socket_done = True
        if self._channel is not None:
            self._channel.close()
        else:
            self._end()

    def _close_when_done(self) -> None:
        if self._socket_done and self._channel_done and self._channel is not None:
            self._channel.close()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._ended(self)
