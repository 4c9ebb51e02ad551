"""The seam between the SSH server and files, forwards, agent and X11: what each calls on the other.

One Services object lives as long as one connection. The server has already waited for the decision
(`connection.granted()`) where a method says so; capabilities are checked by the service at each use
with `connection.check(...)`, because roles change live.
"""

from collections.abc import Callable
from typing import Protocol

import asyncssh

from uptui.host.sshd.access_control import Grant
from uptui.host.sshd.client import ChannelRecord, Connection
from uptui.protocol.host_api import Forward


class Subsystem(Protocol):
    """Serves one session channel in place of a process; ends with `channel.exit(status)`."""

    def data_received(self, data: bytes) -> None:
        """Bytes from the client, already counted. Use `channel.pause_reading()` to slow it."""
        ...

    def eof_received(self) -> None: ...

    def pause_writing(self) -> None:
        """The channel's send buffer is full: write nothing more until `resume_writing`."""
        ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone; the last call."""
        ...


class ClientServices(Protocol):
    """Everything of one connection that is no process."""

    @property
    def subsystem_names(self) -> frozenset[str]:
        """Subsystems that exist here; a request for any other is refused at once."""
        ...

    def subsystem(
        self, name: str, record: ChannelRecord, channel: asyncssh.SSHServerChannel[bytes]
    ) -> Subsystem | None:
        """Serve subsystem `name` ("sftp"), or None when there is none of that name.

        Granted. Raises RefusedError. `record.count_sent` must be told of bytes written.
        """
        ...

    def command(
        self, command: str, record: ChannelRecord, channel: asyncssh.SSHServerChannel[bytes]
    ) -> Subsystem | None:
        """Serve an exec request without a process (`scp -t` where scp is absent), or None."""
        ...

    async def connect_tcp(
        self, host: str, port: int, origin_host: str, origin_port: int
    ) -> asyncssh.SSHTCPSession[bytes]:
        """direct-tcpip. Granted. Raises asyncssh.ChannelOpenError with the reason."""
        ...

    async def connect_unix(self, path: str) -> asyncssh.SSHUNIXSession[bytes]:
        """direct-streamlocal@openssh.com. Granted. Raises asyncssh.ChannelOpenError."""
        ...

    async def listen_tcp(self, host: str, port: int) -> asyncssh.SSHListener | None:
        """tcpip-forward. Granted. None or OSError refuses."""
        ...

    async def listen_unix(self, path: str) -> asyncssh.SSHListener | None:
        """streamlocal-forward@openssh.com. Granted. None or OSError refuses."""
        ...

    async def start_agent(self) -> bool:
        """auth-agent-req@openssh.com, once or more per connection. Granted."""
        ...

    @property
    def agent_path(self) -> str | None:
        """Value of SSH_AUTH_SOCK for programs started from now on."""
        ...

    async def start_x11(
        self, channel: asyncssh.SSHServerChannel[bytes], protocol: bytes, data: bytes, screen: int
    ) -> str | None:
        """x11-req. Granted. The DISPLAY for that session, or None to refuse."""
        ...

    def stop_x11(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        """The session channel has closed (whether or not it had asked for X11)."""
        ...

    def forwards(self) -> list[Forward]:
        """What is forwarded now; client_name is filled in by the caller's Grant."""
        ...

    def apply(self, grant: Grant) -> None:
        """Close what the new grant no longer allows."""
        ...

    def close(self) -> None:
        """The connection is gone: release listeners, sockets and open files."""
        ...


ServicesFactory = Callable[[Connection], ClientServices]
