"""Translates asyncssh's callbacks of one connection into calls on Connection and sessions."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncssh
from asyncssh.constants import (
    DISC_NO_MORE_AUTH_METHODS_AVAILABLE,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
    OPEN_CONNECT_FAILED,
    OPEN_RESOURCE_SHORTAGE,
)

from uptui.errors import RefusedError
from uptui.host.sshd.access_control import Arrival
from uptui.host.sshd.channels import SessionChannel
from uptui.host.sshd.client import GONE, Connection, printable
from uptui.host.sshd.services import ClientServices
from uptui.host.sshd.sessions.attachments import Terminals
from uptui.host.sshd.sessions.environment import Environment
from uptui.host.sshd.sessions.session import Session
from uptui.host.sshd.transport import PREFIX, SshTransport
from uptui.protocol.names import Fingerprint
from uptui.ssh.candidates import Candidates, SteppedOwner

TOO_MANY_KEYS: Final = (
    "Too many authentication failures: too many keys were tried. "
    "Name one with ssh -i FILE -o IdentitiesOnly=yes."
)

S = TypeVar("S")


class SshCallbacks(SteppedOwner[Arrival]):
    """The server side of one connection."""

    def __init__(
        self,
        make_connection: Callable[[SshTransport], Connection],
        environment: Environment,
        terminals: Terminals | None,
        on_lost: Callable[["SshCallbacks"], None],
    ) -> None:
        self._make_connection = make_connection
        self._environment = environment
        self._terminals = terminals
        self._on_lost = on_lost
        super().__init__()
        self._shown: set[bytes] = set()
        self.on_handshake: Callable[[], None] = lambda: None
        """Called when the keys are exchanged."""
        self.on_login: Callable[[], None] = lambda: None

    # Coming and going

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        assert isinstance(conn, SshTransport)
        self.wire = conn
        self.connection = self._make_connection(conn)
        self.connection.transport = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self.wire.handshake_over()
        if self.keys.put_off is not None and self.connection.arrival is None:
            self.connection.access_control.knock(self.keys.put_off)
        self.connection.lost(str(exc) if exc else "")
        self._on_lost(self)

    # Who it is

    def begin_auth(self, username: str) -> bool:
        self.wire.handshake_over()
        self.on_handshake()
        banner = self.connection.settings.banner
        if banner:
            self.wire.send_auth_banner(banner.rstrip("\n") + "\n")
        self.keys = Candidates()
        key = self.connection.origin.verified_key
        if self.connection.origin.way != "plain" or key is None:
            return True
        arrival = self._arrival(username, asyncssh.import_public_key(key))
        screening = self.connection.access_control.screen(arrival)
        if screening == "later":  # the relay has asked about the client's others
            screening = "in"
        return not self.keys.show(arrival, screening)

    def public_key_auth_supported(self) -> bool:
        return self.connection.origin.way != "plain"

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Called for the question whether a key would do and again for its signature."""
        self._shown.add(key.public_data)
        if len(self._shown) > self.connection.settings.limits.keys:
            self.wire.disconnect(DISC_NO_MORE_AUTH_METHODS_AVAILABLE, TOO_MANY_KEYS)
            return False
        arrival = self._arrival(username, key)
        return self.keys.show(arrival, self.connection.access_control.screen(arrival))

    def client_version(self) -> str:
        return self.wire.program

    def auth_completed(self) -> None:
        """The key chosen is the one whose signature was right, or the relay's word."""
        assert self.keys.chosen is not None
        self.on_login()
        self.connection.authenticated(self.keys.chosen)

    def _arrival(self, username: str, key: asyncssh.SSHKey) -> Arrival:
        text = key.export_public_key("openssh").decode().split()
        return self.connection.arrives(
            username,
            " ".join(text[:2]),
            Fingerprint(key.get_fingerprint()),
            (self.connection.origin.client_version or "").removeprefix(PREFIX) or self.wire.program,
        )

    # What it wants

    def session_requested(self) -> Session | tuple[SessionChannel, Session]:
        self._check_room()
        connection = self.connection
        session = Session(connection, self._environment, self._terminals)
        if connection.grant is not None:
            return session
        window = connection.settings.limits.window_undecided
        return self.wire.create_server_channel(window=window), session

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        return self._connect(
            f"forward-local: {dest_host}:{dest_port}",
            lambda services: services.connect_tcp(dest_host, dest_port, orig_host, orig_port),
        )

    def unix_connection_requested(
        self, dest_path: str
    ) -> Awaitable[asyncssh.SSHUNIXSession[bytes]]:
        return self._connect(
            f"forward-local: {dest_path}", lambda services: services.connect_unix(dest_path)
        )

    async def server_requested(
        self, listen_host: str, listen_port: int
    ) -> asyncssh.SSHListener | bool:
        return await self._listen(
            f"forward-remote: {listen_host}:{listen_port}",
            lambda services: services.listen_tcp(listen_host, listen_port),
        )

    async def unix_server_requested(self, listen_path: str) -> asyncssh.SSHListener | bool:
        return await self._listen(
            f"forward-remote: {listen_path}", lambda services: services.listen_unix(listen_path)
        )

    # wire.Owner

    async def agent_requested(self) -> bool:
        try:
            return await (await self._services("agent")).start_agent()
        except (RefusedError, OSError) as error:
            self._note_refusal("agent forwarding", error)
            return False

    def agent_path(self) -> str | None:
        services = self.connection.services
        return services.agent_path if services is not None else None

    async def x11_requested(
        self, channel: SessionChannel, protocol: bytes, data: bytes, screen: int
    ) -> str | None:
        try:
            services = await self._services("x11")
            display = await services.start_x11(channel, protocol, data, screen)
        except (RefusedError, OSError) as error:
            self._note_refusal("X11 forwarding", error)
            return None
        channel.display = display
        return display

    def x11_released(self, channel: SessionChannel) -> None:
        if self.connection.services is not None:
            self.connection.services.stop_x11(channel)

    # Helpers

    def _check_room(self, opening: int = 0) -> None:
        """Raise ChannelOpenError when there are too many, `opening` aside that is counted too."""
        if self.connection.closed:
            raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, GONE)
        limits = self.connection.settings.limits
        is_in = self.connection.grant is not None
        limit = limits.channels if is_in else limits.channels_undecided
        if self.wire.channel_count - opening >= limit:
            raise asyncssh.ChannelOpenError(OPEN_RESOURCE_SHORTAGE, f"more than {limit} channels")

    async def _services(self, what: str) -> ClientServices:
        self.connection.wants(what)
        await self.connection.granted()
        if self.connection.services is None:
            raise RefusedError("this host forwards nothing")
        return self.connection.services

    async def _connect(self, what: str, connect: Callable[[ClientServices], Awaitable[S]]) -> S:
        self._check_room(opening=1)  # asyncssh has made this one already
        try:
            return await connect(await self._services(what))
        except RefusedError as error:
            self._note_refusal(what, error)
            raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, str(error)) from error
        except OSError as error:
            raise asyncssh.ChannelOpenError(
                OPEN_CONNECT_FAILED, error.strerror or str(error)
            ) from error

    async def _listen(
        self,
        what: str,
        listen: Callable[[ClientServices], Awaitable[asyncssh.SSHListener | None]],
    ) -> asyncssh.SSHListener | bool:
        """SSH has no way to say why a listener is refused: it goes on record and to terminals."""
        try:
            return await listen(await self._services(what)) or False
        except (RefusedError, OSError) as error:
            self._note_refusal(what, error)
            self.connection.notify(f"{what} refused: {error}")
            return False

    def _note_refusal(self, what: str, error: Exception) -> None:
        if self.connection.decided and not self.connection.closed:
            self.connection.access_control.note(
                self.connection.client_id,
                "forward.refused",
                f"{printable(what)} refused: {printable(str(error))}",
                level="warning",
            )
