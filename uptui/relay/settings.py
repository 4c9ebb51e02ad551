"""Everything a relay can be told, as one frozen value; read by nobody but who is given it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from uptui.errors import ConfigError
from uptui.protocol.login import Origin
from uptui.relay.services import ApiSettings

DEFAULT_HTTP: Final = "0.0.0.0:8080"
DEFAULT_SSH: Final = "0.0.0.0:2222"
DEFAULT_PORTS: Final = (20000, 20999)


class SocketAddress(NamedTuple):
    """Where to listen: host (empty for every interface) and port (0 lets the kernel choose)."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


PortSpan = tuple[int, int] | Literal["auto"] | None
"""Direct ports: first and last of a range, "auto" for ports that the kernel chooses, or none."""


@dataclass(frozen=True)
class Tls:
    """Certificate chain and key, both PEM files."""

    certificate: Path
    key: Path
    sha256: str | None = None
    """Fingerprint to put into the join URL, when the relay made the certificate itself."""


@dataclass(frozen=True)
class RelayLimits:
    """What strangers and hosts may take; counts, seconds and bytes."""

    connections: int = 20_000
    """Client connections and streams at the same time."""
    connections_per_source: int = 4_096
    """Of one IPv4 address or IPv6 /64: a company's people and their IDEs, who have logged in at
    their hosts, where the relay cannot see it."""
    undecided: int = 4_000
    """Connections that have not said yet what they want."""
    undecided_per_source: int = 512
    """A host that brings many clients at once opens as many streams."""
    undecided_timeout: float = 10.0
    """Seconds for a connection to show its first byte, and for TLS to be established."""
    ssh_login_timeout: float = 20.0
    """Seconds from connecting to the gateway to being authenticated."""
    logins: int = 2_000
    """Connections at the gateway that have neither logged in with a key nor a channel open."""
    strangers_per_source: int = 256
    stranger_timeout: float = 300.0
    """Seconds that such a connection may stay without a channel."""
    http: int = 8_192
    """HTTP connections at the same time, other than WebSockets, which have logged in."""
    http_per_source: int = 1_024
    pending_dials: int = 2_000
    pending_dials_per_host: int = 256
    pending_dials_per_source: int = 256
    dial_timeout: float = 10.0
    """Seconds that a client waits for the host's stream."""
    hosts: int = 20_000
    control_messages_per_minute: int = 600
    lease: float = 80.0
    """Seconds of silence after which a host counts as gone."""
    linger: float = 30.0
    """Seconds that bytes already taken may need to reach a slow receiver at the end."""
    ssh_grace: float = 0.4
    """`single` only: seconds of silence after which a client is greeted as an SSH client."""


@dataclass(frozen=True)
class RelaySettings:
    """One relay. Either `http` (and perhaps `ssh`) or `single` is given."""

    state_dir: Path
    public_host: str
    """Host name or address that clients and hosts use."""
    http: SocketAddress | None = None
    ssh: SocketAddress | None = None
    single: SocketAddress | None = None
    """One address for SSH, TLS, HTTP and streams, told apart by their first bytes."""
    ports: PortSpan = None
    ports_host: str = ""
    """Interface of the direct ports; empty takes that of `http` or `single`."""
    tls: Tls | None = None
    streams: SocketAddress | None = None
    """Where hosts dial back to when that is not the public host and HTTP port (port mappings)."""
    public_ssh_port: int | None = None
    """Port of the gateway as clients see it, when a port mapping changes it."""
    websocket_only: bool = False
    """True tells hosts not to try raw streams (a proxy in front speaks only HTTP)."""
    origins: tuple[Origin, ...] = ()
    """Further addresses by which hosts reach this relay: those of a proxy, of a mapped port."""
    message: str = ""
    """A word to every host."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose PROXY headers are believed."""
    rate: int | None = None
    """Bytes per second of all streams together, shared fairly."""
    takeover: bool = False
    """Take the sockets of the relay with the same state directory, and leave ours to the next."""
    limits: RelayLimits = field(default_factory=RelayLimits)
    api: ApiSettings | None = None
    """Hosting, aliases, quotas, database; None takes the defaults. The direct ports given to
    aliases are those of `ports`, whatever stands there."""

    def __post_init__(self) -> None:
        if (self.http is None) == (self.single is None):
            raise ConfigError("--http", "a relay listens on either --http or --single")
        if self.single is not None and self.ssh is not None:
            raise ConfigError("--ssh", "--single already serves SSH; leave --ssh out")
        if isinstance(self.ports, tuple):
            first, last = self.ports
            if not 1 <= first <= last <= 65535:
                raise ConfigError("--ports", f"{first}-{last} is not a range of ports 1-65535")

    def join_url(self, port: int) -> str:
        """What hosts give as `--relay`, when the front listens on `port`."""
        host = f"[{self.public_host}]" if ":" in self.public_host else self.public_host
        if self.tls is None and self.websocket_only:
            return f"https://{host}"  # the proxy in front ends TLS
        scheme, usual = ("https", 443) if self.tls else ("http", 80)
        pin = f"#sha256={self.tls.sha256}" if self.tls and self.tls.sha256 else ""
        return f"{scheme}://{host}{'' if port == usual else f':{port}'}{pin}"

    @property
    def front(self) -> SocketAddress:
        """Where HTTP and streams are served."""
        address = self.http or self.single
        assert address is not None
        return address


@dataclass(frozen=True)
class RelayAddresses:
    """Where a started relay really listens."""

    http: SocketAddress
    ssh: SocketAddress | None
    ports: PortSpan
