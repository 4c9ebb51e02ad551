"""The host API's models of aliases at the relay."""

import msgspec

from uptui.protocol.host_api import Model


class SetAlias(Model, frozen=True, kw_only=True):
    """PUT /v1/alias: the alias to serve under, None for none."""

    name: str | None


class AliasView(Model, frozen=True, kw_only=True):
    """GET /v1/aliases: an alias of this identity on the relay."""

    name: str
    port: int | None
    created_at: float
    last_used_at: float
    expires_at: float
    online: bool
    serving: bool
    """Whether this daemon is the one that serves it now."""
    known_hosts: list[str] = msgspec.field(default_factory=list[str])
    """Lines for the known_hosts files of clients."""


class TransferAlias(Model, frozen=True, kw_only=True):
    """POST /v1/aliases/{name}/transfer."""

    to: str
    """Public key (OpenSSH format) of the identity that gets it."""


class AliasAvailability(Model, frozen=True, kw_only=True):
    """GET /v1/names/{name}: whether the relay would give us this alias."""

    name: str
    available: bool
    reason: str = ""
    suggestions: list[str] = msgspec.field(default_factory=list[str])
