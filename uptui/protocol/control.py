"""The control channel: JSON text frames on a WebSocket that the host opens to `/v1/control`.

The host authenticates with `Authorization: Bearer` (see relay_api); it then publishes the whole set
of route names it wants (declarative: what is absent is closed at once), and the relay asks it to
dial back for every client that arrives. docs/protocol.md tells the exchange in prose.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from uptui.protocol import border
from uptui.protocol.border import MAX_LIST, Count, PeerPort, Port, PublicKey, Seconds
from uptui.protocol.names import RouteKind, RouteName, Screening, Way, is_host

VERSION: Final = 1
PATH: Final = "/v1/control"
MAX_MESSAGE_BYTES: Final = 256 * 1024
MAX_ROUTES: Final = 512
"""Most routes that one host may publish."""
HELLO_TIMEOUT: Final = 10.0
"""Seconds within which the first Publish must arrive."""

RefusalCode = Literal[
    "taken", "invalid_name", "reserved", "quota", "host_key_mismatch", "no_ports", "not_allowed",
    "unavailable",
]  # fmt: skip
"""`unavailable`: the relay cannot keep the name at the moment; the host publishes it again."""
GoodbyeReason = Literal["draining", "superseded", "unauthorized", "protocol", "quota", "revoked"]

WithdrawalReason = Literal["released", "transferred"]
"""Nobody's now, or somebody else's."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One name that the host wants clients to reach it by."""

    name: RouteName
    kind: RouteKind
    port: bool = True
    """Whether this name wants a direct port of its own."""


class Publish(msgspec.Struct, frozen=True, kw_only=True, tag="publish"):
    """Host -> relay. The complete wish; answered by Published with the same revision."""

    revision: Count
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

    stream_id: border.Stream
    reason: str


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping"):
    """Host -> relay. Liveness and round-trip; answered by Pong with the same number."""

    n: Count


class RelayWays(msgspec.Struct, frozen=True, kw_only=True):
    """What this relay offers to clients."""

    public_host: str
    ssh_port: Port | None = None
    """Port of the SSH gateway (jump and plain), None when there is none."""
    port_first: Port | None = None
    port_last: Port | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a public host that is none."""
        _check_host("public_host", self.public_host)


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """Relay -> host, first message on the channel."""

    version: Count
    software: str
    ways: RelayWays
    stream_host: str | None
    """Host name for raw TCP dial-back; None when only WebSocket streams are offered."""
    stream_port: Port | None
    stream_tls: bool = False
    """True when the raw stream address speaks TLS first."""
    ping_interval: Seconds = 15.0
    """Seconds between Pings that the relay wants to see; three missed end the lease."""
    message: str = ""
    """A word from the relay's operator, untrusted."""

    def __post_init__(self) -> None:
        """Raises ValueError for a stream host that is none."""
        if self.stream_host is not None:
            _check_host("stream_host", self.stream_host)


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A route that works from now on."""

    name: border.Route
    kind: RouteKind
    port: Port | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A route that does not work, and why."""

    name: RouteName
    code: RefusalCode
    message: str
    suggestions: Annotated[list[str], Meta(max_length=MAX_LIST)] = []


class Published(msgspec.Struct, frozen=True, kw_only=True, tag="published"):
    """Relay -> host. The outcome of a Publish; the routes work before this is sent."""

    revision: Count
    granted: Annotated[list[Granted], Meta(max_length=MAX_LIST)]
    refused: Annotated[list[Refusal], Meta(max_length=MAX_LIST)] = []
    took_over: str | None = None
    """Address of an older daemon of the same identity that was just superseded."""


class Dial(msgspec.Struct, frozen=True, kw_only=True, tag="dial"):
    """Relay -> host. A client waits: open a stream with this id within `expires_in` seconds."""

    stream_id: border.Stream
    way: Way
    name: border.Route
    client_host: str
    """An IP address; "unknown" for whatever else was said."""
    client_port: PeerPort
    expires_in: Seconds
    verified_key: PublicKey | None = None
    """Plain way only: the public key (OpenSSH format) whose possession the relay has checked."""
    user: str | None = None
    """Plain way only: the user name given by the client."""
    client_version: str | None = None
    """Plain way only: the client's SSH identification string."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "client_host", border.address(self.client_host))


class Shown(msgspec.Struct, frozen=True, kw_only=True, tag="shown"):
    """Relay -> host. A client of the plain way shows a key: answered by Screened with this `n`."""

    n: Count
    name: border.Route
    user: str
    key: PublicKey
    client_host: str
    client_port: PeerPort
    client_version: str
    left: bool = False
    """The client has proved this key, was put off, and left with no other: no answer."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "client_host", border.address(self.client_host))


class Screened(msgspec.Struct, frozen=True, kw_only=True, tag="screened"):
    """Host -> relay. Whether a key shown may authenticate; see docs/protocol.md."""

    n: Count
    screening: Screening


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True, tag="withdrawn"):
    """Relay -> host. A granted route is closed under the host, which has lost the name."""

    name: border.Route
    reason: WithdrawalReason
    message: str


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong"):
    """Relay -> host."""

    n: Count


class Goodbye(msgspec.Struct, frozen=True, kw_only=True, tag="goodbye"):
    """Relay -> host, last message. No `retry_after` (seconds): do not come back by yourself."""

    reason: GoodbyeReason
    message: str
    retry_after: Seconds | None = None


FromHost = Publish | DialFailed | Screened | Ping
FromRelay = Welcome | Published | Withdrawn | Dial | Shown | Pong | Goodbye

_from_host = msgspec.json.Decoder(FromHost)
_from_relay = msgspec.json.Decoder(FromRelay)
_encoder = msgspec.json.Encoder()


def encode(message: FromHost | FromRelay) -> str:
    """The JSON text frame of a message."""
    return _encoder.encode(message).decode()


def _check_host(field: str, text: str) -> None:
    if not is_host(text):
        raise ValueError(f"{field}: {text[:80]!r} is no host name or address")


def decode_from_host(frame: str | bytes) -> FromHost:
    """Decode what a host sent. Raises ProtocolError naming the wrong field."""
    return border.decode(_from_host.decode, frame, MAX_MESSAGE_BYTES, "control frame from the host")


def decode_from_relay(frame: str | bytes) -> FromRelay:
    """Decode what a relay sent. Raises ProtocolError naming the wrong field."""
    what = "control frame from the relay"
    return border.decode(_from_relay.decode, frame, MAX_MESSAGE_BYTES, what)
