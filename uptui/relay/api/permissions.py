"""Who may do what on the relay's HTTP API: one table, and the decision over one call. No IO.

Each operation of the app stands here, or it is refused to everybody (api/access.py enforces it).
What belongs to one owner is compared with `Principal.owner` where it is read or changed, inside the
same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from uptui.protocol import control
from uptui.protocol.relay_api import PREFIX
from uptui.protocol.stream import CLIENT_PATH, WEBSOCKET_PATH
from uptui.relay.accounts.route_policy import Identity

WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method of an operation that is a WebSocket."""


class Access(Enum):
    """Whom an operation serves."""

    ANYBODY = "everybody, without a bearer"
    INSIDER = "everybody; where the relay is there for certain identities only, any valid bearer"
    LOGIN_PROOF = "whoever signs the nonce in the request; its endpoint checks it"
    STREAM_ID = "whoever knows the one-time stream id in the path; its endpoint checks it"
    WATCHER = "this machine, a token with the scope `read` and no account, everybody if public"
    HOST = "an identity, by its credential"
    ALIAS_READER = "an owner, for what is its own; a token with `read` and no account, for all"
    ALIAS_OWNER = "an identity, or a token of an account with the scope `aliases`, for its own"
    ALIAS_KEEPER = "the same, and administrators for every alias"
    READER = "a token with the scope `read`: of an account for what is its own, else for all"
    ADMIN = "a token with the scope `admin`"


Verdict = Literal["yes", "who", "no"]
"""`who`: a bearer is needed and there is no valid one; `no`: it is not enough."""


@dataclass(frozen=True)
class Principal:
    """Whoever a valid bearer stands for."""

    owner: str | None
    """What it acts for (aliases.owner_of); None for a token without account."""
    scopes: frozenset[str]
    identity: Identity | None = None
    """Set for the credential of an identity, which is no API token."""

    def may(self, scope: str) -> bool:
        """Whether it holds the scope; `admin` holds all."""
        return scope in self.scopes or self.is_admin

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    @property
    def sees_all(self) -> bool:
        """Whether it may read what belongs to others."""
        return self.is_admin or ("read" in self.scopes and self.owner is None)

    def sees(self, owner: str) -> bool:
        """Whether it may read what belongs to `owner`."""
        return self.sees_all or owner == self.owner


_ALIAS: Final = f"{PREFIX}/aliases/{{name}}"
_ACCOUNT: Final = f"{PREFIX}/accounts/{{name}}"
_TOKEN: Final = f"{PREFIX}/tokens/{{token_id}}"

OPERATIONS: Final[Mapping[tuple[str, str], Access]] = {
    ("GET", "/"): Access.INSIDER,
    ("GET", "/openapi.json"): Access.INSIDER,
    ("GET", "/healthz"): Access.ANYBODY,
    ("GET", "/readyz"): Access.ANYBODY,
    ("GET", "/metrics"): Access.WATCHER,
    ("GET", f"{PREFIX}/info"): Access.ANYBODY,
    ("GET", f"{PREFIX}/names/{{name}}"): Access.INSIDER,
    ("POST", f"{PREFIX}/challenges"): Access.ANYBODY,
    ("POST", f"{PREFIX}/credentials"): Access.LOGIN_PROOF,
    ("GET", f"{PREFIX}/aliases"): Access.ALIAS_READER,
    ("GET", _ALIAS): Access.ALIAS_READER,
    ("PUT", _ALIAS): Access.ALIAS_OWNER,
    ("DELETE", _ALIAS): Access.ALIAS_KEEPER,
    ("POST", f"{_ALIAS}/transfer"): Access.ALIAS_KEEPER,
    ("GET", f"{PREFIX}/sessions"): Access.READER,
    ("GET", f"{PREFIX}/accounts"): Access.READER,
    ("GET", f"{PREFIX}/tokens"): Access.READER,
    ("DELETE", f"{PREFIX}/sessions/{{session_id}}"): Access.ADMIN,
    ("PUT", f"{PREFIX}/blocks"): Access.ADMIN,
    ("PUT", _ACCOUNT): Access.ADMIN,
    ("DELETE", _ACCOUNT): Access.ADMIN,
    ("PUT", _TOKEN): Access.ADMIN,
    ("DELETE", _TOKEN): Access.ADMIN,
    ("GET", f"{PREFIX}/backup"): Access.ADMIN,
    ("POST", f"{PREFIX}/restore"): Access.ADMIN,
    (WEBSOCKET, control.PATH): Access.HOST,
    (WEBSOCKET, WEBSOCKET_PATH): Access.STREAM_ID,
    (WEBSOCKET, CLIENT_PATH): Access.ANYBODY,
    ("GET", control.PATH): Access.ANYBODY,  # these three say that a WebSocket is expected
    ("GET", WEBSOCKET_PATH): Access.ANYBODY,
    ("GET", CLIENT_PATH): Access.ANYBODY,
}

OPEN: Final = frozenset({Access.ANYBODY, Access.LOGIN_PROOF, Access.STREAM_ID})
"""Served without a look at the bearer."""


def verdict(
    access: Access, caller: Principal | None, *, watching: bool = False, closed: bool = False
) -> Verdict:
    """Whether an operation serves this caller.

    `watching` says whether metrics are shown to this connection, whoever is behind it; `closed`,
    whether the relay is there for certain identities only.
    """
    if access in OPEN:
        return "yes"
    if not closed and (access is Access.INSIDER or (access is Access.WATCHER and watching)):
        return "yes"
    if caller is None:
        return "who"
    return "yes" if _serves(access, caller) else "no"


def _serves(access: Access, caller: Principal) -> bool:
    match access:
        case Access.INSIDER:
            return True
        case Access.WATCHER:
            return caller.sees_all
        case Access.HOST:
            return caller.identity is not None
        case Access.ALIAS_READER:
            owns = caller.owner is not None and (caller.may("aliases") or caller.may("read"))
            return caller.sees_all or owns
        case Access.ALIAS_OWNER:
            return caller.owner is not None and caller.may("aliases")
        case Access.ALIAS_KEEPER:
            return caller.is_admin or (caller.owner is not None and caller.may("aliases"))
        case Access.READER:
            return caller.may("read")
        case Access.ADMIN:
            return caller.is_admin
        case _:
            return False
