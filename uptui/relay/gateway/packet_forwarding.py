"""The plain way's connections: packets of the connection layer are passed on verbatim.

Channels, windows and requests stay end to end between client and host; only the transport layer
(encryption, rekeying) ends here. With ssh.fastpath the only use of asyncssh's internals in the
relay: a connection's packet handlers and its channel table. tests/network/relay/test_forwarding.py
fails when upstream moves them.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import asyncssh
from asyncssh.channel import SSHTCPChannel
from asyncssh.connection import SSHClientConnection, SSHServerConnection
from asyncssh.constants import MSG_CHANNEL_OPEN, MSG_DISCONNECT, MSG_GLOBAL_REQUEST
from asyncssh.packet import SSHPacket, String

from uptui.ssh.fastpath.packets import BLOCK, MIN_PADDING, PacketConnection
from uptui.ssh.odd_requests import OddChannelRequests

MAX_PACKET: Final = 64 * 1024
"""Largest data packet that clients may send, in bytes."""
FORWARDED: Final = range(80, 101)
"""Message numbers of the connection protocol (RFC 4250, 4.1.2)."""

_VERBATIM: Final = frozenset(FORWARDED) - {MSG_GLOBAL_REQUEST}
"""Those that need not be looked into."""
_KIND: Final = 1
"""Where a decrypted packet has its message number, after the padding's length."""
_HOSTKEYS: Final = String("hostkeys-00@openssh.com")

Judge = Callable[[int, bytes], Awaitable[None] | None]


class Line(PacketConnection):
    """One SSH connection of the relay, whose packets can be judged and then passed on."""

    _sink: "Line | None" = None

    def watch(self, judge: Judge) -> None:
        """Ask `judge` about each channel opening and global request received.

        It gets the message number and what follows it. None lets asyncssh deal with it; an
        awaitable takes it over, and nothing more is read until it is done.
        """
        native = self._native

        def process(target: Line, kind: int, seq: int, packet: SSHPacket) -> object:
            taken = judge(kind, packet.get_full_payload()[1:])
            return taken if taken is not None else native[kind](target, kind, seq, packet)

        watched = dict.fromkeys((MSG_GLOBAL_REQUEST, MSG_CHANNEL_OPEN), process)
        cast("Any", self)._packet_handlers = {**native, **watched}

    def forward(self, sink: "Line") -> None:
        """From now on `sink` sends every connection-layer packet received here.

        Host keys that the other side announces are not passed on: they are not this connection's. A
        disconnect is passed on too, with its reason, and closes both.
        """
        native = self._native

        def process(_: Line, kind: int, __: int, packet: SSHPacket) -> None:
            body = packet.get_full_payload()[1:]
            if kind != MSG_GLOBAL_REQUEST or not body.startswith(_HOSTKEYS):
                sink.send_packet(kind, body)

        def leave(target: Line, kind: int, seq: int, packet: SSHPacket) -> object:
            sink.send_packet(kind, packet.get_full_payload()[1:])
            sink.abort()
            return native[kind](target, kind, seq, packet)

        internals = cast("Any", self)
        forwarded = dict.fromkeys(FORWARDED, process)
        internals._packet_handlers = {**native, **forwarded, MSG_DISCONNECT: leave}
        internals._channels = _AnyChannel(self)
        self._sink = sink

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """What one read brings leaves in few writes on the other side, too."""
        sink = self._sink
        if sink is None:
            super().data_received(data, datatype)
        elif not self.take_alone(data):
            with sink.outbox:
                super().data_received(data, datatype)

    def take_packet(self, header: bytes, packet: bytes) -> bool:
        """Pass a well-formed packet on as it is, its padding too; only its encryption is new."""
        sink = self._sink
        size = len(packet)
        if sink is None or not size or size % BLOCK or packet[_KIND] not in _VERBATIM:
            return False
        cipher = sink.sealing
        if cipher is None or not MIN_PADDING <= packet[0] < size - _KIND:
            return False
        sink.gather(header, cipher.seal(header, packet))
        return True

    @property
    def _native(self) -> dict[int, Any]:
        """asyncssh's handlers."""
        return cast("dict[int, Any]", type(self)._packet_handlers)


PACKETS_A_TURN: Final = 64
"""Packets that one channel sends at once, before others have their turn."""


class JumpChannel(OddChannelRequests, SSHTCPChannel[bytes]):
    """A jump: sends a slice a turn, where asyncssh sends all that the client's window takes."""

    _goes_on = False

    def _flush_send_buf(self) -> None:
        held = max(0, self._send_window - self._send_pktsize * PACKETS_A_TURN)
        self._send_window -= held
        super()._flush_send_buf()
        self._send_window += held
        if held and self._send_buf and not self._goes_on:
            self._goes_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._conn is not None:
            self._flush_send_buf()


class ClientLine(Line, SSHServerConnection):
    """Towards a client."""

    def __init__(
        self, options: asyncssh.SSHServerConnectionOptions, owner: asyncssh.SSHServer
    ) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._protocol_factory = lambda: owner

    def create_tcp_channel(
        self, encoding: str | None = None, errors: str = "strict", window: int = 0,
        max_pktsize: int = 0,
    ) -> JumpChannel:  # fmt: skip
        return JumpChannel(
            self, self._loop, encoding, errors, window or self._window, max_pktsize or MAX_PACKET
        )


class HostLine(Line, SSHClientConnection):
    """Towards a host."""

    def __init__(
        self, options: asyncssh.SSHClientConnectionOptions, owner: asyncssh.SSHClient
    ) -> None:
        self._ready = options.waiter = asyncio.get_running_loop().create_future()
        super().__init__(asyncio.get_running_loop(), options, wait="auth")
        self._protocol_factory = lambda: owner

    async def logged_in(self, timeout: float) -> None:  # noqa: ASYNC109 - also ends the connection
        """Wait for the handshake. Raises asyncssh.Error, OSError, TimeoutError; it is over then."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready
        except BaseException:
            self.abort()
            raise


class _AnyChannel(dict[int, Line]):
    """Leads every channel number to the connection itself."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def __missing__(self, _: int) -> Line:
        return self._line
