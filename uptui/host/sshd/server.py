"""The embedded SSH server: serves SSH on connected sockets that are handed to it."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping, Sequence

import asyncssh

from uptui.host.process.guests import Guests
from uptui.host.process.spawn import keep_descriptors
from uptui.host.sshd.access_control import AccessControl, StreamOrigin
from uptui.host.sshd.callbacks import SshCallbacks
from uptui.host.sshd.client import Connection
from uptui.host.sshd.services import ServicesFactory
from uptui.host.sshd.sessions.attachments import Terminals
from uptui.host.sshd.sessions.environment import Environment
from uptui.host.sshd.settings import SSHSettings
from uptui.host.sshd.transport import SshTransport, options
from uptui.net.handshakes import Handshakes
from uptui.net.pending_logins import PendingLogin, PendingLogins
from uptui.net.sources import source_of
from uptui.ssh.hostkeys import shown

CLOSE_TIMEOUT = 5.0
"""Seconds that connections get to end when the server closes."""

_log = logging.getLogger(__name__)


class _Arrival:
    """A connection that may be dropped before it has logged in."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.wire: SshTransport | None = None

    def drop(self) -> None:
        if self.wire is not None:
            self.wire.abort()
        else:
            self._sock.close()


class SSHHost:
    """Serves SSH for one host; lives in one event loop."""

    def __init__(
        self,
        host_keys: Sequence[asyncssh.SSHKey],
        access_control: AccessControl,
        settings: SSHSettings,
        terminals: Terminals | None = None,
        services: ServicesFactory | None = None,
        base_env: Mapping[str, str] | None = None,
        programs: Guests | None = None,
    ) -> None:
        """`host_keys`: the identity, first, and any others. `access_control` is asked
        before anything.

        `services` builds files and forwards of each connection; None is all that uptui has.
        `base_env` is what sessions inherit from; None is the daemon's own environment. `programs`
        keeps count of what guests have started, and is closed with the server.
        """
        self._programs = programs or Guests()
        self._access_control = access_control
        self._settings = settings
        self._terminals = terminals
        self._services = services
        self._environment = Environment(settings, os.environ if base_env is None else base_env)
        self._options = options(settings, shown(host_keys))
        self._endpoints: set[SshCallbacks] = set()
        limits = settings.limits
        self._logins = PendingLogins(limits.logins, limits.strangers_per_source)
        self._handshakes = Handshakes()
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._idle = asyncio.Event()

    async def start(self) -> None:
        """Be ready to accept."""
        keep_descriptors()
        self._idle.set()

    def accept(self, sock: socket.socket, origin: StreamOrigin) -> None:
        """Serve SSH on a connected socket, which is ours from now on."""
        arrival = _Arrival(sock)
        source, now = source_of(origin.client_host), asyncio.get_running_loop().time()
        stranger = None if self._closed else self._logins.enter(source, arrival.drop, now)
        if stranger is None:
            _log.warning(
                "turned away %s: %s", origin.client_host, "closed" if self._closed else "busy"
            )
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(sock, origin, arrival, stranger))
        self._starting.add(task)
        task.add_done_callback(self._started)

    async def close(self, message: str) -> None:
        """Tell every client `message`, end their connections and what they run."""
        self._closed = True
        for endpoint in list(self._endpoints):
            endpoint.connection.disconnect(message)
        if self._starting:
            await asyncio.wait(self._starting, timeout=CLOSE_TIMEOUT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), CLOSE_TIMEOUT)
        await self._programs.close()

    async def _serve(
        self, sock: socket.socket, origin: StreamOrigin, arrival: "_Arrival", stranger: PendingLogin
    ) -> None:
        loop = asyncio.get_running_loop()

        def connection(wire: SshTransport) -> Connection:
            made = Connection(
                self._access_control, self._settings, origin, wire.server_address, self._programs
            )
            if self._services is not None:
                made.services = self._services(made)
            return made

        def lost(endpoint: SshCallbacks) -> None:
            late.cancel()
            self._logins.leave(stranger)
            self._lost(endpoint)

        def wire() -> SshTransport:
            made = SshTransport(loop, self._settings, self._options, endpoint)
            made.take_turns(self._handshakes.turn(stranger.source))
            arrival.wire = made
            return made

        endpoint = SshCallbacks(connection, self._environment, self._terminals, lost)
        late = loop.call_later(self._settings.handshake_grace, arrival.drop)
        endpoint.on_handshake = late.cancel
        endpoint.on_login = lambda: self._logins.leave(stranger)
        self._endpoints.add(endpoint)
        self._idle.clear()
        sock.setblocking(False)
        try:
            await loop.connect_accepted_socket(wire, sock)
        except OSError:
            lost(endpoint)
            sock.close()

    def _started(self, task: "asyncio.Task[None]") -> None:
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cannot serve a stream", exc_info=error)

    def _lost(self, endpoint: SshCallbacks) -> None:
        self._endpoints.discard(endpoint)
        if not self._endpoints:
            self._idle.set()
