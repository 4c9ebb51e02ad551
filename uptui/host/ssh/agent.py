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
from uptui.host.ssh import dialling
from uptui.host.ssh.bridge import Bridge
from uptui.host.ssh.connection import Connection
from uptui.host.ssh.crossings import Crossing, Crossings
from uptui.host.ssh.forwards import Transport
from uptui.host.ssh.listeners import Listener

PREFIX: Final = "ssh-"
"""Directories are named like sshd's: `/tmp/ssh-*/agent.*` is what scripts look for."""


class Agent:
    """One client's forwarded agent."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._crossings = Crossings(connection)
        self._directory: Path | None = None
        self._listener: Listener | None = None

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
        self._listener = Listener(path, 0, lambda _: None, remove=path)
        await self._listener.serve([sock], self._bridge_for)
        if self._connection.closed:
            self.close()
            return False
        self._connection.gate.note(
            self._connection.client_id, "agent.forwarded", "forwards its SSH agent"
        )
        return True

    def _bind(self) -> tuple[socket.socket, str]:
        self._directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        path = self.path
        assert path is not None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            dialling.bind_private(sock, path)
        except OSError:
            sock.close()
            raise
        return sock, path

    def _bridge_for(self, peer: tuple[str, int]) -> Bridge | None:
        del peer
        if not self._connection.can(Capability.AGENT):
            return None
        try:
            crossing = self._crossings.start("agent", "agent")
        except asyncssh.ChannelOpenError:
            return None
        self._crossings.open(crossing, self._open(crossing))
        return crossing.bridge

    async def _open(self, crossing: Crossing) -> None:
        channel = self._transport().create_agent_channel()
        await channel.open(crossing.unix_session)

    def regrant(self, role: Role) -> None:
        """Take the socket away from a role that may not have it."""
        if not role.can(Capability.AGENT):
            self.close()

    def close(self) -> None:
        """Remove socket and directory and end what uses them; it may be started again."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._crossings.close()
        if self._directory is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(self._directory)
            self._directory = None
