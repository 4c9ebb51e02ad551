"""The control channel: JSON text frames on a WebSocket that the host opens to `/v1/control`.

The host authenticates with `Authorization: Bearer` (see relay_api); it then publishes the whole set
of route names it wants (declarative: what is absent is closed at once), and the relay asks it to
dial back for every client that arrives. docs/protocol.md tells the exchange in prose.
"""

from typing import Final, Literal

import msgspec

from uptui.errors import ProtocolError
from uptui.protocol.names import RouteKind, RouteName, StreamId, Way

VERSION: Final = 1
PATH: Final = "/v1/control"
MAX_MESSAGE_BYTES: Final = 256 * 1024
MAX_ROUTES: Final = 512
"""Most routes that one host may publish."""
HELLO_TIMEOUT: Final = 10.0
"""Seconds within which the first Publish must arrive."""

RefusalCode = Literal[
    "taken", "invalid_name", "reserved", "quota", "host_key_mismatch", "no_ports", "not_allowed"
]
GoodbyeReason = Literal["draining", "superseded", "unauthorized", "protocol", "quota", "revoked"]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One name that the host wants clients to reach it by."""

    name: RouteName
    kind: RouteKind
    port: bool = True
    """Whether this name wants a direct port of its own."""


class Publish(msgspec.Struct, frozen=True, kw_only=True, tag="publish"):
    """Host -> relay. The complete wish; answered by Published with the same revision."""

    revision: int
    instance: str
    """Random per daemon start: two daemons of one identity differ in it; the newest wins."""
    routes: list[Route]
    host_keys: list[str]
    """SSH host keys in OpenSSH public key format; the relay pins them for its plain way."""
    e2e_only: bool = False
    """True closes the plain way for all of these routes."""
    software: str = ""


class DialFailed(msgspec.Struct, frozen=True, kw_only=True, tag="dial_failed"):
    """Host -> relay. No stream will come for this id; `reason` is for the relay's log."""

    stream_id: StreamId
    reason: str


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping"):
    """Host -> relay. Liveness and round-trip; answered by Pong with the same number."""

    n: int


class RelayWays(msgspec.Struct, frozen=True, kw_only=True):
    """What this relay offers to clients."""

    public_host: str
    ssh_port: int | None = None
    """Port of the SSH gateway (jump and plain), None when there is none."""
    port_first: int | None = None
    port_last: int | None = None


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """Relay -> host, first message on the channel."""

    version: int
    software: str
    ways: RelayWays
    stream_host: str | None
    """Host name for raw TCP dial-back; None when only WebSocket streams are offered."""
    stream_port: int | None
    stream_tls: bool = False
    """True when the raw stream address speaks TLS first."""
    ping_interval: float = 15.0
    """Seconds between Pings that the relay wants to see; three missed end the lease."""
    message: str = ""
    """A word from the relay's operator, untrusted."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A route that works from now on."""

    name: RouteName
    kind: RouteKind
    port: int | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A route that does not work, and why."""

    name: RouteName
    code: RefusalCode
    message: str
    suggestions: list[str] = []


class Published(msgspec.Struct, frozen=True, kw_only=True, tag="published"):
    """Relay -> host. The outcome of a Publish; the routes work before this is sent."""

    revision: int
    granted: list[Granted]
    refused: list[Refusal] = []
    took_over: str | None = None
    """Address of an older daemon of the same identity that was just superseded."""


class Dial(msgspec.Struct, frozen=True, kw_only=True, tag="dial"):
    """Relay -> host. A client waits: open a stream with this id within `expires_in` seconds."""

    stream_id: StreamId
    way: Way
    name: RouteName
    client_host: str
    client_port: int
    expires_in: float
    verified_key: str | None = None
    """Plain way only: the public key (OpenSSH format) whose possession the relay has checked."""
    user: str | None = None
    """Plain way only: the user name given by the client."""
    client_version: str | None = None
    """Plain way only: the client's SSH identification string."""


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong"):
    """Relay -> host."""

    n: int


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag="goodbye"):
    """Relay -> host, last message. No `retry_after` (seconds): do not come back by yourself."""

    reason: GoodbyeReason
    message: str
    retry_after: float | None = None


FromHost = Publish | DialFailed | Ping
FromRelay = Welcome | Published | Dial | Pong | Goodbye

_from_host = msgspec.json.Decoder(FromHost)
_from_relay = msgspec.json.Decoder(FromRelay)
_encoder = msgspec.json.Encoder()


def encode(message: FromHost | FromRelay) -> str:
    """The JSON text frame of a message."""
    return _encoder.encode(message).decode()


def _checked(frame: str | bytes) -> str | bytes:
    if len(frame) > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            f"control frame of {len(frame)} bytes; the limit is {MAX_MESSAGE_BYTES}"
        )
    return frame


def decode_from_host(frame: str | bytes) -> FromHost:
    """Decode what a host sent. Raises ProtocolError naming the wrong field."""
    try:
        return _from_host.decode(_checked(frame))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"control frame from the host: {error}") from error


def decode_from_relay(frame: str | bytes) -> FromRelay:
    """Decode what a relay sent. Raises ProtocolError naming the wrong field."""
    try:
        return _from_relay.decode(_checked(frame))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"control frame from the relay: {error}") from error
