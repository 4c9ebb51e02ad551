"""Bodies of the administration API; the public ones are in protocol/relay_api.py."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, Strict

Scope = Literal["host", "aliases", "read", "admin"]
MAX_QUOTA = 2**53
Flag = Annotated[bool, Strict()]
"""true or false, and no word that might mean it."""
Quota = Annotated[int, Field(strict=True, ge=0, le=MAX_QUOTA)]
SmallQuota = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", max_length=63)]


@dataclass(frozen=True)
class ClaimBody:
    """protocol.relay_api.AliasClaim, read strictly."""

    host_key: str | None = None
    rotate_host_key: Flag = False


@dataclass(frozen=True)
class HostSession:
    """A host connected now."""

    id: str
    fingerprint: str
    account: str | None
    address: str
    software: str
    since: float
    aliases: list[str]
    routes: int
    streams: int
    received: int
    sent: int


@dataclass(frozen=True)
class SessionPage:
    """GET /v1/sessions."""

    items: list[HostSession]
    next: str | None = None


@dataclass(frozen=True)
class AccountSettings:
    """PUT /v1/accounts/{name}; an absent quota means the relay's default."""

    disabled: Flag = False
    max_sessions: SmallQuota | None = None
    max_aliases: SmallQuota | None = None
    max_bytes_per_month: Quota | None = None


@dataclass(frozen=True)
class Account:
    """An account, its quotas and this month's use."""

    name: str
    created_at: float
    disabled: bool
    max_sessions: int
    max_aliases: int
    max_bytes_per_month: int | None
    bytes_this_month: int
    streams_this_month: int


@dataclass(frozen=True)
class AccountPage:
    """GET /v1/accounts."""

    items: list[Account]
    next: str | None = None


@dataclass(frozen=True)
class TokenWish:
    """PUT /v1/tokens/{id}."""

    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    account: AccountName | None = None
    label: Annotated[str, Field(max_length=200)] = ""
    expires_in: Annotated[float, Field(strict=True, gt=0, le=10 * 366 * 86400)] | None = None
    """Seconds; None for a token that lives until it is revoked."""


@dataclass(frozen=True)
class Token:
    """An API token without its secret."""

    id: str
    account: str | None
    scopes: list[str]
    label: str
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None
    valid: bool


@dataclass(frozen=True)
class IssuedToken:
    """The only time that the secret is told."""

    token: Token
    secret: str


@dataclass(frozen=True)
class TokenPage:
    """GET /v1/tokens."""

    items: list[Token] = field(default_factory=list[Token])
    next: str | None = None


@dataclass(frozen=True)
class Block:
    """PUT /v1/blocks: shut an identity out, or let it in again."""

    fingerprint: Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]
    blocked: Flag = True


@dataclass(frozen=True)
class Restored:
    """POST /v1/restore: rows put back, by table."""

    rows: dict[str, int]
