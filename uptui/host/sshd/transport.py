"""One SSH transport of the host; with `channels` and `ssh.fastpath` the only place that touches
asyncssh's internals.

It serves a connected socket without a listener, hands agent and X11 requests to the owner, takes
and makes data packets, and bounds what waits for a slow client. Each internal has a canary in
tests/network/ssh/test_wire.py, which fails when upstream moves it.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import asyncssh
from asyncssh.channel import SSHChannel, SSHServerChannel
from asyncssh.connection import SSHServerConnection, SSHServerConnectionOptions
from asyncssh.constants import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_GLOBAL_REQUEST,
)
from asyncssh.packet import SSHPacket, String, UInt32

from uptui.host.sshd.channels import SessionChannel, TCPChannel, TunedChannel, UNIXChannel
from uptui.host.sshd.settings import SSHSettings
from uptui.runtime.busy_poll import PACE
from uptui.ssh.fastpath.cipher import PacketCipher
from uptui.ssh.fastpath.packets import (
    BLOCK,
    LENGTH_SIZE,
    MIN_PADDING,
    PADDINGS,
    REKEY_BYTES,
    PacketConnection,
)
from uptui.ssh.odd_requests import Conforming
from uptui.ssh.policy import CLIENT_SIGNATURES, SERVER_NAME, SIGNATURES, algorithms

PREFIX: Final = "SSH-2.0-"
"""Before the software in a version line (RFC 4253, section 4.2)."""
MAX_PACKET: Final = 64 * 1024
"""Largest data packet that clients may send, in bytes."""
REKEY_SECONDS: Final = 3600
FAREWELL: Final = 3.0
"""Seconds that a client who is shown out gets to take what its channels were told."""
QUICK_ACKS: Final = 24
"""Reads whose acknowledgement is not delayed: a client's handshake comes in small pieces."""
_DATA: Final = struct.Struct(">BBII")
"""Padding length, type, channel, length of the data: the start of a decrypted CHANNEL_DATA."""
_EXTENDED: Final = struct.Struct(">BBIII")
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class Owner(Protocol):
    """What a wire asks of the asyncssh.SSHServer it belongs to, beyond asyncssh's own calls."""

    async def agent_requested(self) -> bool: ...

    def agent_path(self) -> str | None: ...

    async def x11_requested(
        self, channel: "SessionChannel", protocol: bytes, data: bytes, screen: int
    ) -> str | None: ...

    def x11_released(self, channel: "SessionChannel") -> None: ...


def options(
    settings: SSHSettings,
    host_keys: Sequence[asyncssh.SSHKey],
) -> SSHServerConnectionOptions:
    """asyncssh options for `settings`; reads no configuration file."""
    made = SSHServerConnectionOptions(
        server_factory=asyncssh.SSHServer,
        server_host_keys=list(host_keys),
        send_server_host_keys=True,
        server_version=SERVER_NAME,
        **algorithms(),
        signature_algs=list(CLIENT_SIGNATURES),
        rekey_bytes=REKEY_BYTES,
        rekey_seconds=REKEY_SECONDS,
        login_timeout=settings.login_grace,
        keepalive_interval=settings.keepalive_interval,
        keepalive_count_max=settings.keepalive_count,
        password_auth=False,
        kbdint_auth=True,  # of a client whose key was put off
        host_based_auth=False,
        gss_host=None,
        allow_pty=True,
        line_editor=False,
        agent_forwarding=True,
        x11_forwarding=True,
        encoding=None,
        window=settings.limits.window,
        max_pktsize=MAX_PACKET,
        config=None,
    )
    _show_host_keys(made, host_keys)
    return made


def _show_host_keys(made: SSHServerConnectionOptions, host_keys: Sequence[asyncssh.SSHKey]) -> None:
    """Let the keys sign with SIGNATURES only, where asyncssh would add RSA with SHA-1.

    Each algorithm has its own pair, because a pair keeps what one client has chosen and is shared
    by all connections. The last of a key signs when a client that knows another key asks for proof.
    """
    made.server_host_keys.clear()
    for key in host_keys:
        for name in (name.encode() for name in SIGNATURES):
            (pair,) = asyncssh.load_keypairs([key])
            if name in pair.host_key_algorithms and name not in made.server_host_keys:
                pair.set_sig_algorithm(name)
                made.server_host_keys[name] = pair
                made.all_server_host_keys[pair.public_data] = pair


class SshTransport(PacketConnection, SSHServerConnection):
    """One SSH transport on a connected socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: SSHSettings,
        wire_options: SSHServerConnectionOptions,
        owner: asyncssh.SSHServer,
    ) -> None:
        super().__init__(loop, wire_options)
        self._protocol_factory = lambda: owner
        self._paced = True
        self.settings = settings
        self._clogged = False
        self._quick_acks = QUICK_ACKS
        self._socket: socket.socket | None = None
        self._kex_name = ""
        self._no_more_sessions = False
        self._heard = time.monotonic()
        self._parting: str | None = None
        """Why the client is shown out, from then on."""
        self._parted = False
        """It was told, and hears no more."""

    @property
    def user(self) -> str:
        return self._username

    @property
    def program(self) -> str:
        """Software of the client, as it says."""
        return self._client_version.decode("ascii", "replace").removeprefix(PREFIX)

    @property
    def cipher(self) -> str:
        return self._enc_alg_sc.decode("ascii")

    @property
    def kex(self) -> str:
        return self._kex_name

    def say_goodbye(self, reason: str) -> None:
        """Tell the client why and drop the connection, once its channels are closed.

        A client ends at the disconnect, and OpenSSH's forgets what it has not shown by then: how
        its session ended, and what gives its terminal back. It closes a channel when all is shown.
        """
        if self._parting is not None or self._transport is None:
            return
        if not self._auth_complete:
            self.disconnect(asyncssh.constants.DISC_BY_APPLICATION, reason)
            return
        self._parting = reason
        self._loop.call_later(FAREWELL, self._cut_off)
        for channel in list(self._all_channels.values()):
            if not (isinstance(channel, SessionChannel) and channel.ending):
                channel.close()
        self._part()

    def remove_channel(self, recv_chan: int) -> None:
        super().remove_channel(recv_chan)
        self._part()

    def _part(self) -> None:
        """Say goodbye when no channel is left, and leave it to the client to hang up: a socket that
        is closed with something unread in it may take back what was sent."""
        transport = self._transport
        if self._parting is None or self._parted or transport is None or self._all_channels:
            return
        self._cancel_keepalive_timer()
        self._send_disconnect(asyncssh.constants.DISC_BY_APPLICATION, self._parting, "en")
        self.outbox.close()
        self._parted = True
        with contextlib.suppress(OSError):  # the client has hung up already
            transport.write_eof()

    def _cut_off(self) -> None:
        if self._transport is None:
            return
        if not self._parted and self._parting is not None:
            self.disconnect(asyncssh.constants.DISC_BY_APPLICATION, self._parting)
        else:
            self.abort()

    @property
    def channel_count(self) -> int:
        """Channels of every kind, also those still being opened."""
        return len(self._all_channels)

    @property
    def server_address(self) -> tuple[str, int]:
        """Our end of the socket; a pair of Unix sockets has none."""
        return self._local_addr or "127.0.0.1", self._local_port or 22

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            self._socket = sock
        cast("asyncio.Transport", transport).set_write_buffer_limits(self.settings.limits.unsent)
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        if self._quick_acks and self._socket is not None and _QUICKACK is not None:
            self._quick_acks -= 1
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        PACE.asked(len(data))
        if self._parted:
            return
        if not self.take_alone(data):
            super().data_received(data, datatype)

    @property
    def blocked(self) -> bool:
        """Whether channels must keep their data: the transport is full, or keys are exchanged."""
        return self._clogged or not self._kex_complete

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        self._wake_channels()

    def _wake_channels(self) -> None:
        for channel in list(self._all_channels.values()):
            if self.blocked:
                return
            if isinstance(channel, TunedChannel):
                channel.transport_ready()

    def create_server_channel(
        self, encoding: str | None = "", errors: str = "", window: int = 0, max_pktsize: int = 0
    ) -> SessionChannel:
        self._update_recv_pktlen(max_pktsize or MAX_PACKET)
        return SessionChannel(
            self, self._loop, True, False, False, 0, 0, None, "strict",
            window or self._window, max_pktsize or MAX_PACKET,
        )  # fmt: skip

    def create_tcp_channel(
        self, encoding: str | None = None, errors: str = "strict", window: int = 0,
        max_pktsize: int = 0,
    ) -> TCPChannel:  # fmt: skip
        self._update_recv_pktlen(max_pktsize or MAX_PACKET)
        return TCPChannel(
            self, self._loop, encoding, errors, window or self._window, max_pktsize or MAX_PACKET
        )

    def create_unix_channel(
        self, encoding: str | None = None, errors: str = "strict", window: int = 0,
        max_pktsize: int = 0,
    ) -> UNIXChannel:  # fmt: skip
        self._update_recv_pktlen(max_pktsize or MAX_PACKET)
        return UNIXChannel(
            self, self._loop, encoding, errors, window or self._window, max_pktsize or MAX_PACKET
        )

    def _process_global_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take a request, but not without end while an earlier one waits to be let in."""
        if len(self._global_request_queue) >= self.settings.limits.requests_waiting:
            raise asyncssh.ProtocolError("too many global requests wait")
        super()._process_global_request(pkttype, pktid, packet)

    def _process_no_more_sessions_at_openssh_dot_com_global_request(
        self, packet: SSHPacket
    ) -> None:
        """The client has opened all the sessions it wants (OpenSSH PROTOCOL, 2.2)."""
        packet.check_end()
        self._no_more_sessions = True
        self._report_global_response(True)

    def _process_session_open(
        self, packet: SSHPacket
    ) -> tuple[SSHServerChannel[bytes], asyncssh.SSHServerSession[bytes]]:
        """Open a session; as with sshd one too many ends the connection, which somebody else has
        got hold of."""
        if self._no_more_sessions:
            raise Conforming("a session after the client wanted no more")
        return super()._process_session_open(packet)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - asyncssh leaves out what its channels carry

    async def reload_config(self) -> None:
        """Keep the options: no configuration file depends on the user."""

    async def create_agent_listener(self) -> bool:
        return await self._hooks.agent_requested()

    def get_agent_path(self) -> str | None:
        return self._hooks.agent_path()

    async def attach_x11_listener(
        self, chan: Any, auth_proto: bytes, auth_data: bytes, screen: int
    ) -> str | None:
        return await self._hooks.x11_requested(chan, auth_proto, auth_data, screen)

    def detach_x11_listener(self, chan: Any) -> None:
        if isinstance(chan, SessionChannel) and not self.is_closed():
            self._hooks.x11_released(chan)

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own table, with our method in it
        **PacketConnection._packet_handlers,  # noqa: SLF001
        MSG_GLOBAL_REQUEST: _process_global_request,
    }

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        if self._kex is not None:
            self._kex_name = self._kex.algorithm.decode("ascii")
        super().send_newkeys(k, h)
        self._wake_channels()

    def send_at_once(self, channel: int, data: bytes) -> bool:
        """Send bytes that fit in one packet; False when that must wait or be done at length."""
        if self._clogged:
            return False
        cipher = self.sealing
        if cipher is None:
            return False
        self._seal_data(cipher, channel, None, data)
        return True

    def send_channel_data(
        self, channel: int, datatype: int | None, data: memoryview, packet_size: int
    ) -> int:
        """Send bytes in packets of at most `packet_size`, and say how many.

        They are fewer than all once the transport is full or keys are exchanged.
        """
        cipher = self.sealing
        sent, size = 0, len(data)
        while sent < size and not self.blocked:
            piece = data[sent : sent + packet_size]
            if cipher is not None:
                self._seal_data(cipher, channel, datatype, piece)
            else:
                head = UInt32(channel) if datatype is None else UInt32(channel) + UInt32(datatype)
                kind = MSG_CHANNEL_DATA if datatype is None else MSG_CHANNEL_EXTENDED_DATA
                self.send_packet(kind, head + String(bytes(piece)))
            sent += len(piece)
        return sent

    def _seal_data(
        self, cipher: PacketCipher, channel: int, datatype: int | None, data: bytes | memoryview
    ) -> None:
        """Send one packet past asyncssh."""
        size = len(data)
        head_size = _DATA.size if datatype is None else _EXTENDED.size
        padding = -(head_size + size) % BLOCK
        if padding < MIN_PADDING:
            padding += BLOCK
        if datatype is None:
            head = _DATA.pack(padding, MSG_CHANNEL_DATA, channel, size)
        else:
            head = _EXTENDED.pack(padding, MSG_CHANNEL_EXTENDED_DATA, channel, datatype, size)
        length = (head_size + size + padding).to_bytes(LENGTH_SIZE, "big")
        self.gather(length, cipher.seal(length, b"".join((head, data, PADDINGS[padding]))))

    def take_packet(self, header: bytes, packet: bytes) -> bool:
        """Deliver a well-formed CHANNEL_DATA packet."""
        del header
        if len(packet) < _DATA.size or not self._auth_complete:
            return False
        padding, kind, number, size = _DATA.unpack_from(packet)
        if kind != MSG_CHANNEL_DATA or len(packet) != _DATA.size + size + padding:
            return False
        channel = self._channels.get(number)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - see _all_channels
        return isinstance(channel, TunedChannel) and channel.take_data(packet[10 : 10 + size])

    def _reset_keepalive_timer(self) -> None:
        self._heard = time.monotonic()

    def _keepalive_timer_callback(self) -> None:
        """Ask for a sign of life when there was none lately, without a timer per read."""
        quiet = time.monotonic() - self._heard
        interval = self.settings.keepalive_interval
        if quiet >= interval:
            super()._keepalive_timer_callback()
            return
        self._keepalive_count = 0
        self._keepalive_timer = self._loop.call_later(
            interval - quiet, self._keepalive_timer_callback
        )

    @property
    def _all_channels(self) -> dict[int, SSHChannel[bytes]]:
        return self.__dict__["_channels"]

    @property
    def _hooks(self) -> Owner:
        return cast("Owner", self._owner)
