"""The forwards of one connection: checks the live grant, connects and listens, counts, records.

Errors reach the client as sshd words them: `ChannelOpenError` with the reason for connections,
None for listeners.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

import asyncssh
from asyncssh.constants import OPEN_ADMINISTRATIVELY_PROHIBITED, OPEN_CONNECT_FAILED

from uptui.core import destinations
from uptui.core.roles import Capability, Role
from uptui.errors import RefusedError
from uptui.host.ssh import dialling
from uptui.host.ssh.bridge import Bridge
from uptui.host.ssh.connection import Connection, printable
from uptui.host.ssh.crossings import Crossing, Crossings, address_text
from uptui.host.ssh.listeners import Listener
from uptui.protocol.host_api import Forward

MAX_LISTENERS: Final = 64
"""Ports and sockets that one client may listen on at once."""
MAX_PORT: Final = 65535

Transport = Callable[[], asyncssh.SSHServerConnection]
"""The connection's SSH transport, to open channels towards the client."""


class Forwards:
    """Everything that one client forwards."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._crossings = Crossings(connection)
        self._listeners: set[Listener] = set()

    # Towards us: -L, -D, -W

    async def connect_tcp(self, host: str, port: int) -> Bridge:
        """Connect to `host:port` for direct-tcpip. Raises asyncssh.ChannelOpenError."""
        target = address_text(host, port)
        self._check(Capability.FORWARD_LOCAL, target)
        if not 0 < port <= MAX_PORT:
            raise _unreachable("Invalid port")
        try:
            addresses = await dialling.resolve(host)
        except (socket.gaierror, UnicodeError) as error:
            raise self._failed(target, error) from error
        role = self._role()
        allowed = [a for a in addresses if destinations.may_reach(role, host, port, a)]
        if not allowed:
            raise self._refused(target, f"your role here ({role.name}) may not connect to {target}")
        crossing = self._crossings.start("local", target, host=host, port=port, address=allowed[0])
        try:
            sock = await dialling.connect(allowed, port)
        except BaseException as error:
            self._crossings.end(crossing)
            if isinstance(error, OSError):
                raise self._failed(target, error) from error
            raise
        return await self._attach(crossing, sock)

    async def connect_unix(self, path: str) -> Bridge:
        """Connect to the Unix socket `path`. Raises asyncssh.ChannelOpenError."""
        self._check(Capability.FORWARD_LOCAL, path)
        real = _resolved(path)
        role = self._role()
        if not destinations.may_reach_path(role, real):
            raise self._refused(path, f"your role here ({role.name}) may not connect to {path}")
        crossing = self._crossings.start("local", path, path=real)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, real)
        except BaseException as error:
            sock.close()
            self._crossings.end(crossing)
            if isinstance(error, OSError | ValueError):
                raise self._failed(path, error) from error
            raise
        return await self._attach(crossing, sock)

    async def _attach(self, crossing: Crossing, sock: socket.socket) -> Bridge:
        loop = asyncio.get_running_loop()
        bridge = crossing.bridge
        await loop.create_connection(bridge.protocol, sock=sock)
        if self._connection.closed or crossing.over:
            bridge.abort()
            raise _unreachable("the connection is closed")
        self._crossings.note_first(crossing.route)
        return bridge

    # Towards the client: -R

    async def listen_tcp(self, host: str, port: int) -> Listener | None:
        """Listen for tcpip-forward; None refuses. The client names addresses as in `ssh -R`."""
        asked = address_text(host or "*", port)
        if not self._may_listen(asked):
            return None
        try:
            sockets = await dialling.listen(host, port)
        except (OSError, OverflowError, UnicodeError) as error:
            self._cannot_listen(asked, error)
            return None
        bound: int = sockets[0].getsockname()[1]
        listener = Listener(address_text(host or "*", bound), bound, self._listener_closed)

        def accepted(crossing: Crossing, peer: tuple[str, int]) -> None:
            self._open_tcp(crossing, host, bound, peer)

        await self._serve(listener, sockets, accepted)
        return listener

    async def listen_unix(self, path: str) -> Listener | None:
        """Listen for streamlocal-forward@openssh.com; None refuses. An existing path is taken."""
        if not self._may_listen(path):
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            dialling.bind_private(sock, path)
        except (OSError, ValueError) as error:
            sock.close()
            self._cannot_listen(path, error)
            return None
        listener = Listener(path, 0, self._listener_closed, remove=path)

        def accepted(crossing: Crossing, peer: tuple[str, int]) -> None:
            del peer
            self._open_unix(crossing, path)

        await self._serve(listener, [sock], accepted)
        return listener

    async def _serve(
        self,
        listener: Listener,
        sockets: list[socket.socket],
        accepted: Callable[[Crossing, tuple[str, int]], None],
    ) -> None:
        def bridge_for(peer: tuple[str, int]) -> Bridge | None:
            try:
                crossing = self._crossings.start("remote", listener.name)
            except asyncssh.ChannelOpenError:
                return None
            accepted(crossing, peer)
            return crossing.bridge

        await listener.serve(sockets, bridge_for)
        if self._connection.closed:
            listener.close()
            return
        self._listeners.add(listener)
        self._note("forward.listen", f"listens on {listener.name}", listener.name)

    def _open_tcp(self, crossing: Crossing, host: str, port: int, peer: tuple[str, int]) -> None:
        wire = self._transport()
        self._crossings.open(
            crossing, wire.create_connection(crossing.tcp_session, host, port, *peer)
        )

    def _open_unix(self, crossing: Crossing, path: str) -> None:
        wire = self._transport()
        self._crossings.open(crossing, wire.create_unix_connection(crossing.unix_session, path))

    def _may_listen(self, asked: str) -> bool:
        try:
            self._check_listening()
        except RefusedError as error:
            self._note("forward.refused", f"refused to listen on {asked}: {error}", asked)
            self._connection.notify(f"forward of {asked} refused: {error}")
            return False
        return True

    def _check_listening(self) -> None:
        self._connection.check(Capability.FORWARD_REMOTE)
        if len(self._listeners) >= MAX_LISTENERS:
            raise RefusedError(f"too many forwards: at most {MAX_LISTENERS}")

    def _cannot_listen(self, asked: str, error: Exception) -> None:
        reason = _reason(error)
        self._note("forward.failed", f"cannot listen on {asked}: {reason}", asked)

    def _listener_closed(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.discard(listener)
            self._crossings.note_closed("remote", listener.name)

    # Grants, reports, the end

    def regrant(self, role: Role) -> None:
        """Close what `role` does not allow; channels of a lost capability are closed elsewhere."""
        if not role.can(Capability.FORWARD_REMOTE):
            for listener in list(self._listeners):
                listener.close()
        self._crossings.keep_allowed(role)

    def report(self) -> list[Forward]:
        """Routes with their counts, and listeners that nobody has used yet."""
        return self._crossings.report([listener.name for listener in self._listeners])

    def close(self) -> None:
        """The connection is gone."""
        for listener in list(self._listeners):
            listener.close()
        self._crossings.close()

    def _role(self) -> Role:
        grant = self._connection.grant
        assert grant is not None
        return grant.role

    def _check(self, capability: Capability, target: str) -> None:
        try:
            self._connection.check(capability)
        except RefusedError as error:
            raise self._refused(target, str(error)) from error

    def _refused(self, target: str, why: str) -> asyncssh.ChannelOpenError:
        if self._crossings.first_failure(target):
            self._note("forward.refused", f"refused to connect to {target}: {why}", target)
        return asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, printable(why))

    def _failed(self, target: str, error: Exception) -> asyncssh.ChannelOpenError:
        why = _reason(error)
        if self._crossings.first_failure(target, why):
            self._note("forward.failed", f"cannot connect to {target}: {why}", target)
        return _unreachable(why)

    def _note(self, event: str, text: str, address: str) -> None:
        self._connection.gate.note(
            self._connection.client_id,
            event,
            printable(text),
            address=printable(address),
        )


def _resolved(path: str) -> str:
    """The path behind symlinks: what the allow and deny lists are about."""
    return os.path.realpath(path)


def _unreachable(reason: str) -> asyncssh.ChannelOpenError:
    return asyncssh.ChannelOpenError(OPEN_CONNECT_FAILED, reason)


def _reason(error: Exception) -> str:
    """What sshd would say: strerror, or the resolver's words."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror or error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
