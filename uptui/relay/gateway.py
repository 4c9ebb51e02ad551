"""The SSH gateway: jump for everybody, plain for user names that are routes.

Jump: direct-tcpip to a route name is joined with a stream of its host; the inner SSH is not ours.
Plain: the client proves its key here, and its packets go on to the host (plain.py).
The first channel or global request decides which of the two a connection is.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncssh
from asyncssh.constants import (
    DISC_BY_APPLICATION,
    MSG_CHANNEL_OPEN,
    MSG_GLOBAL_REQUEST,
    OPEN_CONNECT_FAILED,
    OPEN_RESOURCE_SHORTAGE,
)
from asyncssh.packet import Boolean, SSHPacket, String

from uptui.errors import RefusedError
from uptui.protocol.names import kind_of
from uptui.relay import logs
from uptui.relay.admission import Admission
from uptui.relay.forwarding import ClientLine
from uptui.relay.hostkey import load_host_key, public_line
from uptui.relay.plain import PlainSession
from uptui.relay.settings import Address
from uptui.relay.sockets import peer_address
from uptui.relay.splice import Leg
from uptui.relay.sshlink import SshLink
from uptui.relay.sshpolicy import accept_options
from uptui.relay.switchboard import RESTARTING, Caller, Switchboard, no_session

MAX_JUMPS: Final = 64
"""Jump channels of one connection at the same time."""
NO_MORE_SESSIONS: Final = "no-more-sessions@openssh.com"
QUIET_REQUESTS: Final = frozenset({
    "keepalive@openssh.com", NO_MORE_SESSIONS, "hostkeys-prove-00@openssh.com",
})  # fmt: skip
"""Global requests that say nothing about what a client wants."""

log = logs.logger("uptui.relay.gateway")


class Gateway:
    """Serves SSH clients on any number of listeners."""

    def __init__(self, switchboard: Switchboard, admission: Admission, state_dir: Path) -> None:
        self.switchboard = switchboard
        self.admission = admission
        self.host_keys: list[str] = []
        """The relay's public host keys, once started."""
        self._state_dir = state_dir
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._visitors: set[Visitor] = set()

    async def start(self) -> None:
        """Load the host key. Raises StateError naming its file."""
        key = load_host_key(self._state_dir)
        self.host_keys = [public_line(key)]
        self._options = accept_options(key, self.switchboard.limits.ssh_login_timeout)

    def accepted(self, sock: socket.socket, peer: Address) -> None:
        """Take a connection from a listener."""
        self.admission.spawn(self._enter(sock), sock)

    def protocol(self) -> asyncio.Protocol:
        """For one connection that the front door hands over."""
        return _Entrance(self)

    def receive(self, leg: Leg, peer: Address) -> None:
        """Greet the client behind `leg`."""
        if not self.admission.enter(peer.host):
            leg.abort()
            return
        assert self._options is not None
        link = SshLink(leg, peer, self.switchboard.limits.linger)
        leg.on_lost = lambda: self.admission.leave(peer.host)
        visitor = Visitor(self, link, peer)
        link.start(ClientLine(self._options, visitor))

    def came(self, visitor: "Visitor") -> None:
        """A visitor is to be disconnected when the gateway closes."""
        self._visitors.add(visitor)

    def went(self, visitor: "Visitor") -> None:
        """A visitor is gone."""
        self._visitors.discard(visitor)

    def undecided(self) -> bool:
        """Whether somebody has connected and not asked for a session yet."""
        return any(not visitor.decided for visitor in self._visitors)

    async def close(self) -> None:
        """Disconnect everybody."""
        for visitor in list(self._visitors):
            visitor.dismiss("the relay is restarting")

    async def _enter(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self.protocol, sock)
        except OSError:
            sock.close()


class _Entrance(Leg):
    """The leg of a client, which knows its gateway."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.switchboard.limits.linger)
        self._gateway = gateway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = peer_address(transport.get_extra_info("peername"))
        self._gateway.receive(self, self._gateway.admission.origin(peer))


class Visitor(asyncssh.SSHServer):
    """One SSH client at the gateway."""

    def __init__(self, gateway: Gateway, link: SshLink, peer: Address) -> None:
        self._gateway = gateway
        self._board = gateway.switchboard
        self._conn: ClientLine | None = None
        self._link = link
        link.choke = self._choke
        self._peer = peer
        self._user = ""
        self._key: asyncssh.SSHKey | None = None
        """The key shown last; proved once `auth_completed` is called while `_proves`."""
        self._proves = False
        """Whether this user name gets in by a key only."""
        self._plain: PlainSession | None = None
        self._no_more_sessions = False
        """The client has said so, and been answered, before there was a host."""
        self._jumps: set[Leg] = set()
        self.decided = False
        """Whether it has asked for a session."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, ClientLine)
        self._conn = conn
        self._gateway.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gateway.went(self)
        if self._plain is not None:
            self._plain.client_lost(exc)

    def dismiss(self, reason: str) -> None:
        """Disconnect the client and tell it why."""
        if self._conn is not None:
            self._conn.disconnect(DISC_BY_APPLICATION, reason)

    async def begin_auth(self, username: str) -> bool:
        """Only plain needs a key: everybody else can reach nothing but inner SSH servers."""
        self._user, self._key, self._proves = username, None, False
        await self._board.expected.wait(username)
        host = self._board.registry.serving(username)
        self._proves = host is not None and not host.e2e_only
        return self._proves

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Any key will do: asyncssh checks its possession, the host decides about it."""
        self._key = key
        return True

    def auth_completed(self) -> None:
        """A key shown under another user name before, or let in without one, proves nothing."""
        if self._conn is not None and self._key is not None and self._proves:
            self._conn.watch(self._judge)

    def session_requested(self) -> bool:
        raise asyncssh.ChannelOpenError(OPEN_CONNECT_FAILED, self._why_no_session())

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        """A jump; the port asked for means nothing."""
        return self._jump(dest_host)

    async def _jump(self, name: str) -> asyncssh.SSHTCPSession[bytes]:
        try:
            return await self._begin_jump(name)
        finally:
            self.decided = True

    async def _begin_jump(self, name: str) -> asyncssh.SSHTCPSession[bytes]:
        if len(self._jumps) >= MAX_JUMPS:
            problem = f"at most {MAX_JUMPS} jumps over one connection"
            raise asyncssh.ChannelOpenError(OPEN_RESOURCE_SHORTAGE, problem)
        try:
            stream = await self._board.call(name, "jump", Caller(self._peer))
        except RefusedError as error:
            code = OPEN_CONNECT_FAILED
            raise asyncssh.ChannelOpenError(code, str(error)) from error
        leg = Leg(self._board.limits.linger)
        joint = self._board.joint(name, "jump", stream, lambda: self._jumps.discard(stream.leg))
        self._jumps.add(stream.leg)
        return _Jump(leg, lambda: self._board.splices.join(leg, stream.leg, joint, stream.early))

    def _judge(self, kind: int, body: bytes) -> Awaitable[None] | None:
        """Take over the first packet that is for the host."""
        packet = SSHPacket(body)
        what = packet.get_string().decode("ascii", "replace")
        if kind == MSG_CHANNEL_OPEN:
            if what == "direct-tcpip" and self._goes_elsewhere(packet):
                return None
        elif what in QUIET_REQUESTS:
            self._no_more_sessions |= what == NO_MORE_SESSIONS
            return None
        if self._jumps:
            return None
        assert self._conn is not None
        assert self._key is not None
        caller = Caller(
            self._peer,
            public_line(self._key),
            self._user,
            str(self._conn.get_extra_info("client_version", "")),
        )
        self._plain = PlainSession(self._board, self._conn, self._link, caller)
        packets = [(kind, body)]
        if self._no_more_sessions:
            unanswered = String(NO_MORE_SESSIONS) + Boolean(False)
            packets.insert(0, (MSG_GLOBAL_REQUEST, unanswered))
        return self._go_plain(self._plain, packets)

    async def _go_plain(self, plain: PlainSession, packets: list[tuple[int, bytes]]) -> None:
        try:
            await plain.open(packets)
        finally:
            self.decided = True

    def _goes_elsewhere(self, packet: SSHPacket) -> bool:
        """Whether a direct-tcpip opening names a live route."""
        packet.get_uint32()
        packet.get_uint32()
        packet.get_uint32()
        target = packet.get_string().decode("utf-8", "replace")
        return self._board.registry.serving(target) is not None

    def _why_no_session(self) -> str:
        if self._board.draining:
            return RESTARTING
        host = self._board.registry.serving(self._user)
        if host is not None and host.e2e_only:
            return (
                "this session is only reachable end to end: use its own port, or "
                f"ssh -J jump@RELAY:PORT {self._user}"
            )
        if kind_of(self._user) is None or self._user == "jump":
            return "this is a relay: use it as a jump host (ssh -J) or name a session as user"
        return no_session(self._user)

    def _choke(self, full: bool) -> None:
        for leg in self._jumps:
            leg.choke(full)


class _Jump(asyncssh.SSHTCPSession[bytes]):
    """The client's end of a jump: hands the channel's events to its leg."""

    def __init__(self, leg: Leg, join: Callable[[], None]) -> None:
        self._leg = leg
        self._join = join

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._leg.attach(chan)
        self._join()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._leg.data_received(data)

    def eof_received(self) -> bool:
        return self._leg.eof_received()

    def pause_writing(self) -> None:
        self._leg.pause_writing()

    def resume_writing(self) -> None:
        self._leg.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leg.connection_lost(exc)
