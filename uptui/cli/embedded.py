"""Chooses the relay of a share: the configured one, or our own in this process on loopback."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from uptui.config import Settings
from uptui.errors import ConfigError, RelayRefusedError, RelayUnreachableError
from uptui.host.relay_link import RelayEndpoint, endpoint_of
from uptui.host.relay_link.trust import plain_http
from uptui.host.storage.state_directory import StateDir
from uptui.paths import Places
from uptui.runtime.private_files import private_directory

if TYPE_CHECKING:
    from uptui.relay.settings import RelaySettings

LOOPBACK: Final = "127.0.0.1"
_ELSEWHERE: Final = "192.0.2.1"  # TEST-NET-1 (RFC 5737): asked for a route, never sent to

_FLAGS: Final = {"--ssh": "--listen", "--ports": "--listen-ports"}
"""What `uptui host` calls the settings of a relay of its own."""


class PortsDocument(msgspec.Struct, kw_only=True):
    """The ports of our own relay, so that the strings survive a restart."""

    version: int = 1
    http: int = 0
    ssh: int = 0


def configured_relay(settings: Settings, places: Places) -> RelayEndpoint | None:
    """The relay that is configured, if one is. Raises ConfigError."""
    host = settings.host
    if host.relay is None:
        return None
    return endpoint_of(
        host.relay,
        proxy=host.proxy,
        ca_file=host.ca_file,
        allow_http=host.allow_http,
        known_relays=places.known_relays if host.trust == "first-use" else None,
    )


async def refuse_open_http(endpoint: RelayEndpoint) -> None:
    """Raises ConfigError for plain http to a public address that was not allowed."""
    try:
        await plain_http(endpoint)
    except RelayRefusedError as error:
        raise ConfigError("--relay", str(error)) from error
    except RelayUnreachableError:
        return  # the link goes on trying, and looks again then


@asynccontextmanager
async def relay_of(
    settings: Settings, places: Places, identity: str
) -> AsyncGenerator[RelayEndpoint]:
    """The endpoint to link to, with our own relay running behind it when none is configured.

    That one is for the host with the fingerprint `identity` alone: whoever else is on this machine
    can reach it. Raises ConfigError.
    """
    host = settings.host
    if host.relay is not None:
        endpoint = configured_relay(settings, places)
        assert endpoint is not None
        await refuse_open_http(endpoint)
        yield endpoint
        return
    from uptui.relay import logs
    from uptui.relay.server import Relay

    logs.configure("WARNING")
    state = StateDir(places.state_dir)
    remembered = state.load("ports", PortsDocument) or PortsDocument()
    private_directory(places.embedded_relay)
    relay = Relay(_settings(settings, places, remembered, identity))
    try:
        addresses = await relay.start()
    except ConfigError:
        relay = Relay(_settings(settings, places, PortsDocument(), identity))
        try:
            addresses = await relay.start()
        except ConfigError as error:
            raise ConfigError(_FLAGS.get(error.where, error.where), error.problem) from error
    try:
        found = PortsDocument(
            http=addresses.http.port, ssh=addresses.ssh.port if addresses.ssh else 0
        )
        if found != remembered:
            state.save("ports", found)
        yield RelayEndpoint("http", LOOPBACK, addresses.http.port, embedded=True)
    finally:
        await relay.close(0)


def _settings(
    settings: Settings, places: Places, ports: PortsDocument, identity: str
) -> "RelaySettings":
    from uptui.relay.accounts.auth import Hosting
    from uptui.relay.services import ApiSettings
    from uptui.relay.settings import RelaySettings, SocketAddress

    host = settings.host
    listen = host.listen
    where = listen.host if listen else LOOPBACK
    ssh_port = listen.port if listen and listen.port else ports.ssh
    return RelaySettings(
        state_dir=places.embedded_relay,
        public_host=host.public_host or public_host(where),
        http=SocketAddress(LOOPBACK, ports.http),
        ssh=SocketAddress(where, ssh_port),
        ports=(host.listen_ports.first, host.listen_ports.last) if host.listen_ports else "auto",
        ports_host=where,
        api=ApiSettings(places.embedded_relay, hosting=Hosting("keys", only=frozenset({identity}))),
    )


def public_host(listen: str) -> str:
    """How others most likely reach a listener: its address, or the one of our default route."""
    if listen not in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return listen
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
