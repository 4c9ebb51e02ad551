"""The embedded SSH server: serves SSH on connected sockets that are handed to it."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping, Sequence

import asyncssh

from uptui.host.gate import Gate, StreamOrigin
from uptui.host.spawn import keep_descriptors
from uptui.host.ssh.connection import Connection
from uptui.host.ssh.endpoint import Endpoint
from uptui.host.ssh.environment import Environment
from uptui.host.ssh.hostkeys import shown
from uptui.host.ssh.seats import Terminals
from uptui.host.ssh.services import ServicesFactory
from uptui.host.ssh.settings import SSHSettings
from uptui.host.ssh.wire import Wire, options

CLOSE_TIMEOUT = 5.0
"""Seconds that connections get to end when the server closes."""

_log = logging.getLogger(__name__)


class SSHHost:
    """Serves SSH for one host; lives in one event loop."""

    def __init__(
        self,
        host_keys: Sequence[asyncssh.SSHKey],
        gate: Gate,
        settings: SSHSettings,
        terminals: Terminals | None = None,
        services: ServicesFactory | None = None,
        base_env: Mapping[str, str] | None = None,
    ) -> None:
        """`host_keys`: the identity, first, and any others. `gate` is asked before anything.

        `services` builds files and forwards of each connection; None is all that uptui has.
        `base_env` is what sessions inherit from; None is the daemon's own environment.
        """
        self._gate = gate
        self._settings = settings
        self._terminals = terminals
        self._services = services
        self._environment = Environment(settings, os.environ if base_env is None else base_env)
        self._options = options(settings, shown(host_keys, fips=settings.fips))
        self._endpoints: set[Endpoint] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._idle = asyncio.Event()

    async def start(self) -> None:
        """Be ready to accept."""
        keep_descriptors()
        self._idle.set()

    def accept(self, sock: socket.socket, origin: StreamOrigin) -> None:
        """Serve SSH on a connected socket, which is ours from now on."""
        unknown = sum(not endpoint.authenticated for endpoint in self._endpoints)
        if self._closed or unknown >= self._settings.limits.connections_unauthenticated:
            _log.warning(
                "turned away %s: %s", origin.client_host, "closed" if self._closed else "busy"
            )
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(sock, origin))
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

    async def _serve(self, sock: socket.socket, origin: StreamOrigin) -> None:
        loop = asyncio.get_running_loop()

        def connection(wire: Wire) -> Connection:
            made = Connection(self._gate, self._settings, origin, wire.server_address)
            if self._services is not None:
                made.services = self._services(made)
            return made

        endpoint = Endpoint(connection, self._environment, self._terminals, self._lost)
        self._endpoints.add(endpoint)
        self._idle.clear()
        sock.setblocking(False)
        try:
            await loop.connect_accepted_socket(
                lambda: Wire(loop, self._settings, self._options, endpoint), sock
            )
        except OSError:
            self._lost(endpoint)
            sock.close()

    def _started(self, task: "asyncio.Task[None]") -> None:
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cannot serve a stream", exc_info=error)

    def _lost(self, endpoint: Endpoint) -> None:
        self._endpoints.discard(endpoint)
        if not self._endpoints:
            self._idle.set()
