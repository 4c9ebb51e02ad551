"""Where a relay is and how it is reached: its address, the proxy on the way, the trust in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from uptui.errors import ConfigError, ProtocolError
from uptui.net.proxies import proxy_for
from uptui.protocol.login import Origin, Scheme, canonical_host

_PIN = "sha256="


@dataclass(frozen=True)
class RelayEndpoint:
    """One relay as it was configured."""

    scheme: Scheme
    host: str
    port: int
    pin: str | None = None
    """SHA-256 of the relay's certificate (DER), hex; replaces the check against authorities."""
    proxy: str | None = None
    proxy_origin: str = ""
    """Where the proxy's address came from, in words."""
    ca_file: str | None = None
    embedded: bool = False
    allow_http: bool = False
    """Plain http to a public address was asked for."""
    known_relays: Path | None = None
    """Set where trust on first use was asked for: the file that remembers certificates."""

    @property
    def url(self) -> str:
        """What requests go to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def origin(self) -> Origin:
        """What a login is signed for. Raises ProtocolError for a host that is none."""
        return Origin.of(self.scheme, self.host, self.port)

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    @property
    def shown(self) -> str:
        """The address for people, without a default port."""
        default = {"http": 80, "https": 443}[self.scheme]
        return self.url.removesuffix(f":{self.port}") if self.port == default else self.url


def endpoint_of(
    url: str,
    *,
    proxy: str | None = None,
    ca_file: str | None = None,
    allow_http: bool = False,
    known_relays: Path | None = None,
) -> RelayEndpoint:
    """Read a checked relay URL. `proxy`: a URL, "none", or None for what the environment says.

    Raises ConfigError for a proxy that cannot be used, or a name that no host has.
    """
    parts = urlsplit(url)
    scheme = cast("Scheme", parts.scheme)
    host = parts.hostname or ""
    if not host.isascii():
        host = _ascii(host)
    port = parts.port or {"http": 80, "https": 443}[scheme]
    pin = parts.fragment.removeprefix(_PIN).lower() or None
    chosen, origin = proxy_for(scheme, host, port, proxy)
    return RelayEndpoint(
        scheme,
        host,
        port,
        pin,
        chosen,
        origin,
        ca_file,
        allow_http=allow_http,
        known_relays=known_relays,
    )


def _ascii(host: str) -> str:
    """An international name as it is asked for in the DNS: the same for every library that is given
    it, so that the name that is signed is the one that was connected to."""
    try:
        return canonical_host(host)
    except ProtocolError as error:
        raise ConfigError("--relay", str(error).removeprefix("origin: ")) from error
