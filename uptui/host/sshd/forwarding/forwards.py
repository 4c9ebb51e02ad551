"""The forwards of one connection: checks the live grant, connects and listens, counts, records.

Errors reach the client as sshd words them: `ChannelOpenError` with the reason for connections,
None for listeners.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

import asyncssh
from asyncssh.constants import OPEN_ADMINISTRATIVELY_PROHIBITED, OPEN_CONNECT_FAILED

from uptui.core import destinations, hostnames
from uptui.core.destinations import MAX_PORT, Destination
from uptui.core.roles import Capability, Role, has_programs
from uptui.errors import RefusedError
from uptui.host.sshd.client import Connection, printable
from uptui.host.sshd.common import Common
from uptui.host.sshd.forwarding import connect
from uptui.host.sshd.forwarding.bridge import Bridge
from uptui.host.sshd.forwarding.forwarded import (
    ForwardedConnection,
    ForwardedConnections,
    address_text,
)
from uptui.host.sshd.forwarding.listeners import ForwardListener
from uptui.host.sshd.forwarding.socketfile import SocketFile
from uptui.protocol.host_api import Forward

MAX_LISTENERS: Final = 64
"""Ports and sockets that one client may listen on at once."""

Transport = Callable[[], asyncssh.SSHServerConnection]
"""The connection's SSH transport, to open channels towards the client."""


class Forwards:
    """Everything that one client forwards."""

    def __init__(
        self, connection: Connection, transport: Transport, common: Common | None = None
    ) -> None:
        common = common or Common()
        self._guard = common.guard
        self._resolver = common.resolver
        self._rechecking: asyncio.Task[None] | None = None
        self._connection = connection
        self._transport = transport
        self._connections = ForwardedConnections(connection)
        self._listeners: set[ForwardListener] = set()

    @property
    def _names(self) -> connect.ClientResolver:
        """Looks names up in the name of the client's key, however many connections it has."""
        arrival = self._connection.arrival
        return connect.ClientResolver(self._resolver, arrival.fingerprint if arrival else None)

    # Towards us: -L, -D, -W

    async def connect_tcp(self, host: str, port: int) -> Bridge:
        """Connect to `host:port` for direct-tcpip. Raises asyncssh.ChannelOpenError."""
        target = address_text(host, port)
        self._check(Capability.FORWARD_LOCAL, target)
        if not 0 < port <= MAX_PORT:
            raise _unreachable("Invalid port")
        try:
            name = hostnames.host_name(host)
            addresses = await self._names.resolve(name)
        except (socket.gaierror, hostnames.BadHostError) as error:
            raise self._failed(target, error) from error
        allowed = await self._allowed(target, [Destination(name, port, a) for a in addresses])
        forwarded = self._connections.start("local", target, to=allowed[0])
        try:
            sock = await connect.connect([to.address for to in allowed], port)
        except BaseException as error:
            self._connections.end(forwarded)
            if isinstance(error, OSError):
                raise self._failed(target, error) from error
            raise
        forwarded.to = Destination(name, port, str(sock.getpeername()[0]))
        return await self._attach(forwarded, sock)

    async def _allowed(self, target: str, found: list[Destination]) -> list[Destination]:
        """Those that the role may reach, at least one. Raises asyncssh.ChannelOpenError."""
        role = self._role()
        try:
            denied = await self._names.known(destinations.denied_names(role, found[0].port))
        except socket.gaierror as error:
            why = "a name that your role may not reach cannot be looked up now"
            raise self._refused(target, why) from error
        role = self._role()
        allowed = [to for to in found if destinations.may_reach(role, to, denied)]
        if not allowed:
            raise self._refused(target, f"your role here ({role.name}) may not connect to {target}")
        return allowed

    async def connect_unix(self, path: str) -> Bridge:
        """Connect to the Unix socket `path`. Raises asyncssh.ChannelOpenError."""
        self._check(Capability.FORWARD_LOCAL, path)
        try:
            found = SocketFile(path)
        except (OSError, ValueError) as error:
            raise self._failed(path, error) from error
        with found:
            role = self._role()
            own = self._guard is not None and not has_programs(role) and self._guard.owns(found)
            if own or not destinations.may_reach_path(role, found.path):
                raise self._refused(path, f"your role here ({role.name}) may not connect to {path}")
            forwarded = self._connections.start("local", path, path=found.path)
            try:
                sock = await found.connect()
            except BaseException as error:
                self._connections.end(forwarded)
                if isinstance(error, OSError):
                    raise self._failed(path, error) from error
                raise
        return await self._attach(forwarded, sock)

    async def _attach(self, forwarded: ForwardedConnection, sock: socket.socket) -> Bridge:
        loop = asyncio.get_running_loop()
        bridge = forwarded.bridge
        await loop.create_connection(bridge.protocol, sock=sock)
        if self._connection.closed or forwarded.over:
            bridge.abort()
            raise _unreachable("the connection is closed")
        self._connections.note_first(forwarded.route)
        return bridge

    # Towards the client: -R

    async def listen_tcp(self, host: str, port: int) -> ForwardListener | None:
        """Listen for tcpip-forward; None refuses. The client names addresses as in `ssh -R`."""
        asked = address_text(host or "*", port)
        if not self._may_listen(asked):
            return None
        try:
            addresses = await connect.addresses_to_listen_on(host, self._names)
            sockets = connect.listen(addresses, port)
        except (OSError, OverflowError, hostnames.BadHostError) as error:
            self._cannot_listen(asked, error)
            return None
        bound: int = sockets[0].getsockname()[1]
        listener = ForwardListener(address_text(host or "*", bound), bound, self._listener_closed)

        def accepted(forwarded: ForwardedConnection, peer: tuple[str, int]) -> None:
            self._open_tcp(forwarded, host, bound, peer)

        await self._serve(listener, sockets, accepted)
        return listener

    async def listen_unix(self, path: str) -> ForwardListener | None:
        """Listen for streamlocal-forward@openssh.com; None refuses. An existing path is taken."""
        if not self._may_listen(path):
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            self._check_place(path)
            connect.bind_private(sock, path)
        except (OSError, ValueError) as error:
            sock.close()
            self._cannot_listen(path, error)
            return None
        listener = ForwardListener(path, 0, self._listener_closed, remove=path)

        def accepted(forwarded: ForwardedConnection, peer: tuple[str, int]) -> None:
            del peer
            self._open_unix(forwarded, path)

        await self._serve(listener, [sock], accepted)
        return listener

    def _check_place(self, path: str) -> None:
        """Raise PermissionError for a path among the daemon's own files."""
        guard = self._guard
        if guard is not None and not has_programs(self._role()) and guard.owns_place(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    async def _serve(
        self,
        listener: ForwardListener,
        sockets: list[socket.socket],
        accepted: Callable[[ForwardedConnection, tuple[str, int]], None],
    ) -> None:
        def bridge_for(peer: tuple[str, int]) -> Bridge | None:
            try:
                forwarded = self._connections.start("remote", listener.name)
            except asyncssh.ChannelOpenError:
                return None
            accepted(forwarded, peer)
            return forwarded.bridge

        await listener.serve(sockets, bridge_for)
        if self._connection.closed:
            listener.close()
            return
        self._listeners.add(listener)
        self._note("forward.listen", f"listens on {listener.name}", listener.name)

    def _open_tcp(
        self, forwarded: ForwardedConnection, host: str, port: int, peer: tuple[str, int]
    ) -> None:
        wire = self._transport()
        self._connections.open(
            forwarded, wire.create_connection(forwarded.tcp_session, host, port, *peer)
        )

    def _open_unix(self, forwarded: ForwardedConnection, path: str) -> None:
        wire = self._transport()
        self._connections.open(forwarded, wire.create_unix_connection(forwarded.unix_session, path))

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

    def _listener_closed(self, listener: ForwardListener) -> None:
        if listener in self._listeners:
            self._listeners.discard(listener)
            self._connections.note_closed("remote", listener.name)

    # Grants, reports, the end

    def regrant(self, role: Role) -> None:
        """Close what `role` does not allow; channels of a lost capability are closed elsewhere."""
        if not role.can(Capability.FORWARD_REMOTE):
            for listener in list(self._listeners):
                listener.close()
        self._connections.keep_allowed(role)
        if role.forward_deny:
            self._rechecking = asyncio.get_running_loop().create_task(self._recheck(role))

    async def _recheck(self, role: Role) -> None:
        """End what `role` denies by name and is reached by address."""
        for port, connections in self._connections.by_port().items():
            names = destinations.denied_names(role, port)
            if not names:
                continue
            try:
                denied = await self._names.known(names)
            except socket.gaierror:
                denied = {forwarded.to.address for forwarded in connections if forwarded.to}
            for forwarded in connections:
                if not forwarded.over and not forwarded.allowed(role, denied):
                    forwarded.bridge.abort()

    def report(self) -> list[Forward]:
        """Routes with their counts, and listeners that nobody has used yet."""
        return self._connections.report([listener.name for listener in self._listeners])

    def close(self) -> None:
        """The connection is gone."""
        for listener in list(self._listeners):
            listener.close()
        self._connections.close()
        if self._rechecking is not None:
            self._rechecking.cancel()

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
        if self._connections.first_failure(target):
            self._note("forward.refused", f"refused to connect to {target}: {why}", target)
        return asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, printable(why))

    def _failed(self, target: str, error: Exception) -> asyncssh.ChannelOpenError:
        why = _reason(error)
        if self._connections.first_failure(target, why):
            self._note("forward.failed", f"cannot connect to {target}: {why}", target)
        return _unreachable(why)

    def _note(self, event: str, text: str, address: str) -> None:
        self._connection.access_control.note(
            self._connection.client_id,
            event,
            printable(text),
            address=printable(address),
        )


def _unreachable(reason: str) -> asyncssh.ChannelOpenError:
    return asyncssh.ChannelOpenError(OPEN_CONNECT_FAILED, reason)


def _reason(error: Exception) -> str:
    """What sshd would say: strerror, or the resolver's words."""
    if isinstance(error, socket.gaierror):
        return str(error.strerror or error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
