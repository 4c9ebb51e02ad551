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
from asyncssh.packet import Boolean, PacketDecodeError, SSHPacket, String

from uptui.errors import RefusedError
from uptui.net.handshakes import Handshakes
from uptui.net.pending_logins import PendingLogin, PendingLogins
from uptui.net.sources import source_of
from uptui.protocol.names import kind_of, split_secret
from uptui.relay import logs
from uptui.relay.gateway.hostkey import load_host_key, public_line
from uptui.relay.gateway.packet_forwarding import ClientLine
from uptui.relay.gateway.pipe_transport import SshLink
from uptui.relay.gateway.plain import PlainSession
from uptui.relay.gateway.policy import accept_options
from uptui.relay.gateway.screening import Screener
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.ingress.listeners import peer_address
from uptui.relay.settings import SocketAddress
from uptui.relay.tunnel.broker import RESTARTING, Broker, Caller, no_session
from uptui.relay.tunnel.pipe import PipeEnd
from uptui.ssh.candidates import Candidates, SteppedOwner
from uptui.ssh.hostkeys import shown

MAX_JUMPS: Final = 64
"""Jump channels of one connection at the same time."""
MAX_KEYS: Final = 20
"""Different keys that a connection may show; an agent may hold a dozen."""
TOO_MANY_KEYS: Final = (
    f"Too many authentication failures: more than {MAX_KEYS} keys were tried. "
    "Name one with ssh -i FILE -o IdentitiesOnly=yes."
)
DOES_NOTHING: Final = "this connection has no session, and others wait; connect again"
NO_MORE_SESSIONS: Final = "no-more-sessions@openssh.com"
QUIET_REQUESTS: Final = frozenset({
    "keepalive@openssh.com", NO_MORE_SESSIONS, "hostkeys-prove-00@openssh.com",
})  # fmt: skip
"""Global requests that say nothing about what a client wants."""

log = logs.logger("uptui.relay.gateway.server")


class Gateway:
    """Serves SSH clients on any number of listeners."""

    def __init__(self, broker: Broker, limiter: ConnectionLimiter, state_dir: Path) -> None:
        self.broker = broker
        self.limiter = limiter
        self.screener = Screener(broker)
        self.host_keys: list[str] = []
        """The relay's public host keys, once started."""
        self._state_dir = state_dir
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._visitors: set[Visitor] = set()
        limits = broker.limits
        self.logins = PendingLogins(limits.logins, limits.strangers_per_source)
        self._handshakes = Handshakes()

    async def start(self) -> None:
        """Load the host key. Raises StateError naming its file."""
        key = load_host_key(self._state_dir)
        keys = shown([key])
        self.host_keys = [public_line(one) for one in keys]
        self._options = accept_options(keys, self.broker.limits.ssh_login_timeout)

    def accepted(self, sock: socket.socket, peer: SocketAddress) -> None:
        """Take a connection from a listener."""
        self.limiter.spawn(self._enter(sock), sock)

    def protocol(self) -> asyncio.Protocol:
        """For one connection that the protocol mux hands over."""
        return _Entrance(self)

    def receive(self, end: PipeEnd, peer: SocketAddress) -> None:
        """Greet the client behind `end`."""
        if not self.limiter.enter(peer.host):
            end.abort()
            return
        assert self._options is not None
        link = SshLink(end, peer, self.broker.limits.linger)
        end.on_lost = lambda: self.limiter.leave(peer.host)
        visitor = Visitor(self, link, peer)
        line = ClientLine(self._options, visitor)
        line.take_turns(self._handshakes.turn(source_of(peer.host)))
        if not visitor.is_stranger():
            end.abort()
            return
        link.start(line)

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


class _Entrance(PipeEnd):
    """The pipe end of a client, which knows its gateway."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.broker.limits.linger)
        self._gateway = gateway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = peer_address(transport.get_extra_info("peername"))
        self._gateway.receive(self, self._gateway.limiter.origin(peer))


class Visitor(SteppedOwner[asyncssh.SSHKey]):
    """One SSH client at the gateway."""

    def __init__(self, gateway: Gateway, link: SshLink, peer: SocketAddress) -> None:
        self._gateway = gateway
        self._broker = gateway.broker
        self._conn: ClientLine | None = None
        self._link = link
        link.choke = self._choke
        self._peer = peer
        super().__init__()
        self._user = ""
        self._proves = False
        """Whether this user name gets in by a key only."""
        self._plain: PlainSession | None = None
        self._no_more_sessions = False
        """The client has said so, and been answered, before there was a host."""
        self._jumps: set[PipeEnd] = set()
        self.decided = False
        """Whether it has asked for a session."""
        self._calling = 0
        """Jumps that wait for their host."""
        self._shown: set[bytes] = set()
        self._logged_in = False
        self._stranger: PendingLogin | None = None
        self._patience: asyncio.TimerHandle | None = None

    def is_stranger(self) -> bool:
        """It has no channel, or not yet: it may stay for a while. False when there is no room."""
        if self._stranger is not None:
            return True
        gateway, loop = self._gateway, asyncio.get_running_loop()
        self._stranger = gateway.limiter.wait(gateway.logins, self._peer.host, self._too_long)
        if self._stranger is not None:
            patience = self._broker.limits.stranger_timeout
            self._patience = loop.call_later(patience, self._too_long)
        return self._stranger is not None

    def _at_work(self) -> None:
        """It has a channel now."""
        if self._stranger is not None:
            self._gateway.logins.leave(self._stranger)
            self._stranger = None
        if self._patience is not None:
            self._patience.cancel()

    def _too_long(self) -> None:
        self._at_work()
        self._link.end.abort() if self._conn is None else self.dismiss(DOES_NOTHING)

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, ClientLine)
        self._conn = conn
        self._gateway.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gateway.went(self)
        self._at_work()
        if self.keys.put_off is not None and not self._logged_in:
            self._gateway.screener.left(self._caller(self.keys.put_off))
        if self._conn is not None:
            self._conn.handshake_over()
        if self._plain is not None:
            self._plain.client_lost(exc)

    def dismiss(self, reason: str) -> None:
        """Disconnect the client and tell it why."""
        if self._conn is not None:
            self._conn.disconnect(DISC_BY_APPLICATION, reason)

    async def begin_auth(self, username: str) -> bool:
        """Only plain needs a key: everybody else can reach nothing but inner SSH servers."""
        self._user, self._proves = username, False
        self.keys = Candidates()
        if self._conn is not None:
            self._conn.handshake_over()
        name, _ = split_secret(username)
        await self._broker.expected.wait(name)
        host = self._broker.registry.serving(name)
        self._proves = host is not None and not host.e2e_only
        return self._proves

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Any key will do that the host does not refuse: asyncssh checks its possession."""
        self._shown.add(key.public_data)
        if len(self._shown) > MAX_KEYS:
            self.dismiss(TOO_MANY_KEYS)
            return False
        keys = self.keys
        screening = await self._gateway.screener.screen(self._caller(key)) if self._proves else "in"
        return keys.show(key, screening)

    def client_version(self) -> str:
        conn = self._conn
        return str(conn.get_extra_info("client_version", "")) if conn is not None else ""

    def lets_in(self) -> bool:
        """Under a name that is no route of a host nothing is to be proved."""
        return not self._proves or super().lets_in()

    def auth_completed(self) -> None:
        """A key shown under another user name before, or let in without one, proves nothing."""
        self._logged_in = True
        if self._conn is not None and self.keys.chosen is not None and self._proves:
            self._conn.watch(self._judge)

    def _caller(self, key: asyncssh.SSHKey) -> Caller:
        return Caller(self._peer, public_line(key), self._user, self.client_version())

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
        if len(self._jumps) + self._calling >= MAX_JUMPS:
            problem = f"at most {MAX_JUMPS} jumps over one connection"
            raise asyncssh.ChannelOpenError(OPEN_RESOURCE_SHORTAGE, problem)
        self._calling += 1
        try:
            stream = await self._broker.call(name, "jump", Caller(self._peer))
        except RefusedError as error:
            code = OPEN_CONNECT_FAILED
            raise asyncssh.ChannelOpenError(code, str(error)) from error
        finally:
            self._calling -= 1
        end = PipeEnd(self._broker.limits.linger)
        pipe = self._broker.pipe(name, "jump", stream, lambda: self._jump_ended(stream.end))
        self._jumps.add(stream.end)
        self._at_work()
        return _Jump(end, lambda: self._broker.pipes.join(end, stream.end, pipe, stream.early))

    def _jump_ended(self, end: PipeEnd) -> None:
        self._jumps.discard(end)
        if not self._jumps and not self._link.end.lost and not self.is_stranger():
            self.dismiss(DOES_NOTHING)

    def _judge(self, kind: int, body: bytes) -> Awaitable[None] | None:
        """Take over the first packet that is for the host."""
        packet = SSHPacket(body)
        try:
            what = packet.get_string().decode("ascii", "replace")
            elsewhere = what == "direct-tcpip" and self._goes_elsewhere(packet)
        except PacketDecodeError:
            return None
        if kind == MSG_CHANNEL_OPEN:
            if elsewhere:
                return None
        elif what in QUIET_REQUESTS:
            self._no_more_sessions |= what == NO_MORE_SESSIONS
            return None
        if self._jumps:
            return None
        assert self._conn is not None
        assert self.keys.chosen is not None
        caller = self._caller(self.keys.chosen)
        self._at_work()
        self._plain = PlainSession(self._broker, self._conn, self._link, caller)
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
        return self._broker.registry.serving(target) is not None

    def _why_no_session(self) -> str:
        if self._broker.draining:
            return RESTARTING
        name, secret = split_secret(self._user)
        host = self._broker.registry.serving(name)
        if host is not None and host.e2e_only:
            target = f"{self._user}@{name}" if secret else name
            return (
                "this session is only reachable end to end: use its own port, or "
                f"ssh -J jump@RELAY:PORT {target}"
            )
        if kind_of(name) is None or self._user == "jump":
            return "this is a relay: use it as a jump host (ssh -J) or name a session as user"
        return no_session(name)

    def _choke(self, full: bool) -> None:
        for end in self._jumps:
            end.choke(full)


class _Jump(asyncssh.SSHTCPSession[bytes]):
    """The client's end of a jump: hands the channel's events to its pipe end."""

    def __init__(self, end: PipeEnd, join: Callable[[], None]) -> None:
        self._end = end
        self._join = join

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._end.attach(chan)
        self._join()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._end.data_received(data)

    def eof_received(self) -> bool:
        return self._end.eof_received()

    def pause_writing(self) -> None:
        self._end.pause_writing()

    def resume_writing(self) -> None:
        self._end.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.connection_lost(exc)
