"""What a host signs to log in: one nonce, for one purpose, at one address, behind one certificate.

A relay that passes another relay's challenge on gets a signature that names its own address, and
its own certificate, which are worth nothing elsewhere.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal, Self, cast

from uptui.errors import ProtocolError

PURPOSE: Final = "log in to a uptui relay"
"""The first thing that is signed; another message of this namespace would begin otherwise."""
DIGEST_LENGTH: Final = 32
"""Bytes of a certificate's SHA-256."""
MAX_ORIGIN: Final = 300
"""Characters of an origin; a host name has at most 253."""

Scheme = Literal["http", "https"]

_DEFAULT_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}
_ORIGIN: Final = re.compile(
    r"(https?)://(\[[^\[\]]*\]|[^\s/?#@:\\\[\]]+)(?::([0-9]{1,5}))?/?", re.IGNORECASE
)
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")


@dataclass(frozen=True)
class Origin:
    """Where a relay is met, in one spelling: lower-case host without brackets, explicit port."""

    scheme: Scheme
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `https://relay.example` or `http://[::1]:8080`. Raises ProtocolError."""
        found = _ORIGIN.fullmatch(text) if len(text) <= MAX_ORIGIN else None
        if found is None:
            raise ProtocolError(f"origin: {text[:80]!r} is not such as https://relay.example:443")
        scheme = cast("Scheme", found[1].lower())
        return cls.of(scheme, found[2], int(found[3]) if found[3] else _DEFAULT_PORTS[scheme])

    @classmethod
    def of(cls, scheme: Scheme, host: str, port: int) -> Self:
        """The origin of these parts, spelled canonically. Raises ProtocolError."""
        if not 1 <= port <= 65535:
            raise ProtocolError(f"origin: {port} is no port")
        return cls(scheme, canonical_host(host), port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Statement:
    """Where a host believes to be when it logs in."""

    nonce: str
    origin: Origin
    certificate: bytes
    """SHA-256 of the leaf certificate seen on the connection; empty for plain http."""

    def __post_init__(self) -> None:
        wanted = DIGEST_LENGTH if self.origin.scheme == "https" else 0
        if len(self.certificate) != wanted:
            raise ProtocolError(
                f"login: a certificate's SHA-256 has {wanted} bytes with {self.origin.scheme}, "
                f"not {len(self.certificate)}"
            )

    def signed(self) -> bytes:
        """The message of the SSHSIG: each part behind its length, so that no two are alike."""
        texts = (PURPOSE, self.nonce, str(self.origin))
        parts = [*(text.encode("utf-8", "surrogatepass") for text in texts), self.certificate]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def statement(nonce: str, origin: str, certificate: str) -> Statement:
    """Read what a host sends: `certificate` in hex. Raises ProtocolError."""
    if re.fullmatch(r"[0-9a-f]*", certificate) is None or len(certificate) % 2:
        raise ProtocolError("login: the certificate's SHA-256 is not lower-case hex")
    return Statement(nonce, Origin.parse(origin), bytes.fromhex(certificate))


def canonical_host(text: str) -> str:
    """A host name (IDNA, lower case) or IP address in its one spelling. Raises ProtocolError.

    An IPv6 zone is left out, as it means something on one machine only; an IPv4 address written as
    IPv6 is the IPv4 address.
    """
    try:
        if ":" in text:
            address = IPv6Address(text.removeprefix("[").removesuffix("]").partition("%")[0])
            return str(address.ipv4_mapped or address)
        name = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except (AddressValueError, UnicodeError) as error:
        raise ProtocolError(f"origin: {text[:80]!r} is no host: {error}") from error
    try:
        return str(IPv4Address(name))
    except AddressValueError:
        pass
    if _NAME.fullmatch(name) is None:
        raise ProtocolError(f"origin: {text[:80]!r} is no host name")
    return name
