"""Agent forwarding: a private Unix socket whose connections go to the client's own agent.

The socket lives as long as the connection, not as long as the session that asked for it, because
editors ask in one session and use it from others.
"""

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final

import asyncssh

from uptui.core.roles import Capability, Role
from uptui.errors import RefusedError
from uptui.host.sshd.client import Connection
from uptui.host.sshd.forwarding import connect
from uptui.host.sshd.forwarding.bridge import Bridge
from uptui.host.sshd.forwarding.forwarded import ForwardedConnection, ForwardedConnections
from uptui.host.sshd.forwarding.forwards import Transport
from uptui.host.sshd.forwarding.guard import Guard
from uptui.host.sshd.forwarding.listeners import ForwardListener

PREFIX: Final = "ssh-"
"""Directories are named like sshd's: `/tmp/ssh-*/agent.*` is what scripts look for."""


class Agent:
    """One client's forwarded agent."""

    def __init__(
        self, connection: Connection, transport: Transport, guard: Guard | None = None
    ) -> None:
        self._connection = connection
        self._guard = guard
        self._transport = transport
        self._connections = ForwardedConnections(connection)
        self._directory: Path | None = None
        self._listener: ForwardListener | None = None

    @property
    def path(self) -> str | None:
        """What SSH_AUTH_SOCK should say, while there is an agent."""
        if self._directory is None:
            return None
        return str(self._directory / f"agent.{os.getpid()}")

    async def start(self) -> bool:
        """Make the socket, once; False when the role or the machine does not allow it."""
        try:
            self._connection.check(Capability.AGENT)
        except RefusedError:
            return False
        if self._listener is not None:
            return True
        try:
            sock, path = self._bind()
        except OSError:
            self.close()
            return False
        self._listener = ForwardListener(path, 0, lambda _: None, remove=path)
        await self._listener.serve([sock], self._bridge_for)
        if self._connection.closed:
            self.close()
            return False
        self._connection.access_control.note(
            self._connection.client_id, "agent.forwarded", "forwards its SSH agent"
        )
        return True

    def _bind(self) -> tuple[socket.socket, str]:
        self._directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        if self._guard is not None:
            self._guard.add(self._directory)
        path = self.path
        assert path is not None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            connect.bind_private(sock, path)
        except OSError:
            sock.close()
            raise
        return sock, path

    def _bridge_for(self, peer: tuple[str, int]) -> Bridge | None:
        del peer
        if not self._connection.can(Capability.AGENT):
            return None
        try:
            forwarded = self._connections.start("agent", "agent")
        except asyncssh.ChannelOpenError:
            return None
        self._connections.open(forwarded, self._open(forwarded))
        return forwarded.bridge

    async def _open(self, forwarded: ForwardedConnection) -> None:
        channel = self._transport().create_agent_channel()
        await channel.open(forwarded.unix_session)

    def regrant(self, role: Role) -> None:
        """Take the socket away from a role that may not have it."""
        if not role.can(Capability.AGENT):
            self.close()

    def close(self) -> None:
        """Remove socket and directory and end what uses them; it may be started again."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._connections.close()
        if self._directory is not None:
            if self._guard is not None:
                self._guard.remove(self._directory)
            with contextlib.suppress(OSError):
                shutil.rmtree(self._directory)
            self._directory = None
