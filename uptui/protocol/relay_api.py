"""The relay's HTTP API under /v1: plain dataclasses that FastAPI publishes and the host decodes.

Proof of identity: POST /v1/challenges gives a nonce; the host signs it, and where it believes to be
(protocol.login), with its identity key as an SSHSIG (OpenSSH PROTOCOL.sshsig) in the namespace
NAMESPACE; POST /v1/credentials exchanges that for a bearer token which opens the control channel
and owns aliases.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from uptui.protocol import border
from uptui.protocol.border import MAX_LIST, Count, Moment, Port, Seconds, Secret
from uptui.protocol.names import is_host

PREFIX: Final = "/v1"
NAMESPACE: Final = "uptui-identity@uptui"
"""SSHSIG namespace: a signature made for anything else never logs in to a relay."""
CHALLENGE_TTL: Final = 60.0
"""Seconds that a nonce can be answered."""
CREDENTIAL_TTL: Final = 3600.0
"""Seconds that a bearer token from /v1/credentials lives."""
MAX_ANSWER_BYTES: Final = 1024 * 1024

Texts = Annotated[list[str], Meta(max_length=MAX_LIST)]
T = TypeVar("T")


def decode(body: bytes, kind: type[T], what: str) -> T:
    """Read what a relay answered. Raises ProtocolError: `what`, and the field that is wrong."""

    def read(data: str | bytes) -> T:
        return msgspec.json.decode(data, type=kind)

    return border.decode(read, body, MAX_ANSWER_BYTES, what)


@dataclass(frozen=True)
class RelayInfo:
    """GET /v1/info, without authentication: how a host recognises a relay."""

    service: str
    """Always "uptui-relay"."""
    version: str
    protocol: Count
    hosting: str
    """Who may host: open, join-token, keys or accounts."""
    public_host: str
    ssh_port: Port | None
    port_first: Port | None
    port_last: Port | None
    ssh_host_keys: Texts = field(default_factory=list[str])

    def __post_init__(self) -> None:
        """Raises ValueError for a public host that is none."""
        if not is_host(self.public_host):
            raise ValueError(f"public_host: {self.public_host[:80]!r} is no host name or address")


@dataclass(frozen=True)
class ChallengeRequest:
    """POST /v1/challenges."""

    identity: str
    """Public key in OpenSSH format."""


@dataclass(frozen=True)
class Challenge:
    """A nonce to sign."""

    nonce: Secret
    namespace: str
    expires_in: Seconds


@dataclass(frozen=True)
class CredentialRequest:
    """POST /v1/credentials."""

    identity: str
    nonce: str
    origin: str
    """Where the host meets the relay: scheme, host and explicit port."""
    signature: str
    """Armored SSHSIG over protocol.login.Statement."""
    certificate: str = ""
    """SHA-256 (hex) of the certificate that the host saw on this connection; empty without TLS."""
    join_token: str | None = None
    """Pre-shared join token or account API token, where the relay asks for one."""


@dataclass(frozen=True)
class Credential:
    """A bearer token for this identity."""

    access_token: Secret
    expires_in: Seconds
    fingerprint: str


@dataclass(frozen=True)
class Alias:
    """A persistent name and what is tied to it."""

    name: str
    owner: str
    """Fingerprint of the owning identity, or `account:NAME`."""
    port: Port | None
    host_key_fingerprint: str | None
    known_hosts: Texts
    """Lines for a known_hosts file, one per way and host key."""
    created_at: Moment
    last_used_at: Moment
    expires_at: Moment
    online: bool


@dataclass(frozen=True)
class AliasClaim:
    """PUT /v1/aliases/{name}; claiming one's own alias again changes nothing but its host key."""

    host_key: str | None = None
    rotate_host_key: bool = False
    """The owner's explicit word that the host key may change."""


@dataclass(frozen=True)
class AliasTransfer:
    """POST /v1/aliases/{name}/transfer."""

    to: str
    """Public key (OpenSSH format) of the new owner."""


@dataclass(frozen=True)
class Availability:
    """GET /v1/names/{name}."""

    name: str
    available: bool
    reason: str | None = None
    suggestions: Texts = field(default_factory=list[str])


@dataclass(frozen=True)
class Problem:
    """application/problem+json, RFC 9457."""

    type: str
    title: str
    status: Count
    detail: str
    instance: str | None = None
    code: str = ""
    """What programs look at: a protocol.control.RefusalCode, or one of PROBLEM_CODES."""
    suggestions: Texts = field(default_factory=list[str])
    """Free names close to one that was refused."""
    errors: Texts = field(default_factory=list[str])
    """Each wrong field of the request with its problem."""


PROBLEM_CODES: Final = frozenset({
    "bad_request", "bad_signature", "busy", "draining", "forbidden", "method_not_allowed",
    "not_found", "other_certificate", "other_origin", "rate_limited", "server_error", "too_large",
    "unauthorized", "unavailable", "unknown_stream", "upgrade_required", "validation",
})  # fmt: skip
"""Problem codes beside the refusals of names."""


@dataclass(frozen=True)
class AliasPage:
    """GET /v1/aliases: pass `next` as `after` to read on; None at the end."""

    items: Annotated[list[Alias], Meta(max_length=MAX_LIST)]
    next: str | None = None
