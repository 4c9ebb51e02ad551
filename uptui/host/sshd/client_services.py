"""Files, forwards, agent and X11 of one connection, in the shape that the SSH server asks for."""

import os
import pwd
import shutil
from pathlib import Path
from typing import cast

import asyncssh

from uptui.core.roles import VIEWER, Capability, Role, has_programs
from uptui.errors import RefusedError
from uptui.host.sshd.access_control import Grant
from uptui.host.sshd.client import ChannelRecord, Connection
from uptui.host.sshd.common import Common
from uptui.host.sshd.files import scp, scp_command
from uptui.host.sshd.files.handlers import Files, symlink_as_draft
from uptui.host.sshd.files.rooted_fs import RootedFs
from uptui.host.sshd.files.session import SftpChannel, SftpSession
from uptui.host.sshd.files.workers import ClientQueue
from uptui.host.sshd.forwarding.agent import Agent
from uptui.host.sshd.forwarding.forwards import Forwards
from uptui.host.sshd.forwarding.guard import Guard
from uptui.host.sshd.forwarding.x11 import X11
from uptui.host.sshd.services import Subsystem
from uptui.host.sshd.sessions.environment import account
from uptui.protocol.host_api import Forward, Level, Transfer


class ConnectionAccess:
    """What SFTP sees of a connection (transfers.Access)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def role(self) -> Role:
        grant = self._connection.grant
        return VIEWER if grant is None else grant.role

    def note(self, event: str, text: str, *, level: Level = "info", **data: object) -> None:
        connection = self._connection
        connection.access_control.note(connection.client_id, event, text, level=level, **data)

    def show_transfer(self, transfer: Transfer) -> None:
        self._connection.add_transfer(transfer)


class GuestServices:
    """Everything of one connection that is no process (services.Services)."""

    subsystem_names = frozenset({"sftp"})

    def __init__(self, connection: Connection, common: Common | None = None) -> None:
        """`common`: what the daemon's connections share; None for a connection by itself."""
        self._connection = connection
        self._common = common = common or Common()
        self._access = ConnectionAccess(connection)
        self._forwards = Forwards(connection, self._transport, common)
        self._agent = Agent(connection, self._transport, common.guard)
        self._x11 = X11(connection, self._transport)

    def _transport(self) -> asyncssh.SSHServerConnection:
        return cast("asyncssh.SSHServerConnection", self._connection.transport)

    def subsystem(
        self, name: str, record: ChannelRecord, channel: asyncssh.SSHServerChannel[bytes]
    ) -> Subsystem | None:
        """An SFTP session; needs either of the file capabilities."""
        if name != "sftp":
            return None
        if not self._connection.can(Capability.WRITE):
            self._connection.check(Capability.READ)
        share = self._share()
        return SftpSession(cast("SftpChannel", channel), self._files(share), record, share)

    def command(
        self, command: str, record: ChannelRecord, channel: asyncssh.SSHServerChannel[bytes]
    ) -> Subsystem | None:
        """`scp -O`'s far end, where there is no scp or the role may not run it or has a root."""
        connection = self._connection
        asked = scp_command.command_of(command, self._variable)
        if asked is None:
            return None
        confined = self._access.role.files_root is not None
        if connection.can(Capability.EXEC) and _has_scp() and not confined:
            return None
        connection.check(Capability.WRITE if asked.sink else Capability.READ)
        cwd = connection.settings.cwd or home_directory()
        return scp.ScpSession(
            asked,
            cast("SftpChannel", channel),
            record,
            self._access,
            self._tree(cwd),
            self._share(),
        )

    def _variable(self, name: str) -> str | None:
        """A variable in the path of a built-in scp: what else the daemon has is its own."""
        if name == "HOME":
            return home_directory()
        if name in {"USER", "LOGNAME"}:
            return account(self._connection.settings, os.environ).name
        return None

    def _share(self) -> ClientQueue:
        """One for all connections with the same key."""
        arrival = self._connection.arrival
        return self._common.workers.of(arrival.fingerprint if arrival else None)

    def _files(self, share: ClientQueue) -> Files:
        arrival = self._connection.arrival
        draft = arrival is not None and symlink_as_draft(arrival.program)
        # SFTP starts in the home even where commands start elsewhere, as with sshd: Zed uploads to
        # relative paths and finds them again after `cd`.
        tree = self._tree(home_directory())
        return Files(self._access, tree, share.held, draft_symlinks=draft)

    def _tree(self, start: str) -> RootedFs:
        """Where relative paths begin at `start`."""
        return RootedFs(start, home_directory(), self._access.role.files_root, self._guard)

    def _guard(self) -> Guard | None:
        """What keeps files of the daemon from the present role."""
        return None if has_programs(self._access.role) else self._common.guard

    async def connect_tcp(
        self, host: str, port: int, origin_host: str, origin_port: int
    ) -> asyncssh.SSHTCPSession[bytes]:
        del origin_host, origin_port
        return await self._forwards.connect_tcp(host, port)

    async def connect_unix(self, path: str) -> asyncssh.SSHUNIXSession[bytes]:
        bridge = await self._forwards.connect_unix(path)
        return cast("asyncssh.SSHUNIXSession[bytes]", bridge)

    async def listen_tcp(self, host: str, port: int) -> asyncssh.SSHListener | None:
        return await self._forwards.listen_tcp(host, port)

    async def listen_unix(self, path: str) -> asyncssh.SSHListener | None:
        return await self._forwards.listen_unix(path)

    async def start_agent(self) -> bool:
        return await self._agent.start()

    @property
    def agent_path(self) -> str | None:
        return self._agent.path

    async def start_x11(
        self, channel: asyncssh.SSHServerChannel[bytes], protocol: bytes, data: bytes, screen: int
    ) -> str | None:
        if not self._connection.limits.x11:
            raise RefusedError("your key may have no X11 forwarding here")
        return await self._x11.start(channel, protocol, data, screen)

    def stop_x11(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        self._x11.stop(channel)

    def forwards(self) -> list[Forward]:
        return self._forwards.report()

    def apply(self, grant: Grant) -> None:
        for part in (self._forwards, self._agent, self._x11):
            part.regrant(grant.role)

    def close(self) -> None:
        for part in (self._forwards, self._agent, self._x11):
            part.close()


def _has_scp() -> bool:
    """Whether there is one that works: it refuses a user without an entry in the user database."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return shutil.which("scp") is not None


def home_directory() -> str:
    """HOME of the daemon's user, falling back to the user database and then to `/`."""
    home = os.environ.get("HOME")
    if home and Path(home).is_dir():
        return home
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"
