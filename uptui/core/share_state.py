"""What admission and commands share: settings, everybody known, and the outbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from uptui.core.access import Arrival, Landing
from uptui.core.connected import Client, Connected
from uptui.core.events import Effect, Record, Scalar
from uptui.core.invites import Invites
from uptui.core.keys import AuthorizedKey
from uptui.core.people import People
from uptui.core.policies import Policies, Rules
from uptui.core.requests import Requests
from uptui.core.roles import BUILT_IN, DEVELOPER, Role
from uptui.core.session_token import SessionToken
from uptui.errors import ConfigError
from uptui.protocol.host_api import Level, UnknownPolicy
from uptui.protocol.names import Fingerprint, RouteName
from uptui.text import clean

APPROVAL_TIMEOUT: Final = 120.0
"""Seconds within which somebody must answer a request."""
MAX_CLIENTS: Final = 1000
"""Connections that are in or wait at the same time, unless the host wishes otherwise."""


@dataclass(frozen=True)
class ShareSettings:
    """The host's wishes; replaced as a whole when one changes."""

    alias: str | None = None
    unknown: UnknownPolicy = "ask"
    e2e_only: bool = False
    plain_invites: bool = False
    """Take secrets on the plain way, where the relay reads them."""
    default_role: str = DEVELOPER.name
    """What a plain approve, an unlabelled authorized key and `accept` give."""
    default_landing: Landing = field(default_factory=Landing)
    roles: Mapping[str, Role] = field(default_factory=lambda: dict(BUILT_IN))
    approval_timeout: float = APPROVAL_TIMEOUT
    max_clients: int = MAX_CLIENTS
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        """Raises ConfigError when the default role does not exist."""
        if self.default_role not in self.roles:
            known = ", ".join(self.roles)
            raise ConfigError(
                "default_role", f"there is no role {self.default_role!r}; the roles are {known}"
            )


def _no_command(user: str) -> str:
    del user
    return ""


class ActError(Exception):
    """Something the host asked for cannot be done; the text says why."""

    def __init__(self, kind: Literal["unknown", "state", "value"], detail: str) -> None:
        super().__init__(detail)
        self.kind: Literal["unknown", "state", "value"] = kind
        self.detail = detail


@dataclass
class ShareState:
    """The parts; whoever changes one leaves the effects in the outbox."""

    settings: ShareSettings
    address: SessionToken
    people: People
    invites: Invites
    policies: Policies
    requests: Requests = field(default_factory=Requests)
    connected: Connected = field(default_factory=Connected)
    authorized: Mapping[Fingerprint, AuthorizedKey] = field(
        default_factory=dict[Fingerprint, AuthorizedKey]
    )
    outbox: list[Effect] = field(default_factory=list[Effect])
    command: Callable[[str], str] = _no_command
    """The end-to-end ssh command with this user name; empty while there is none."""

    def emit(self, *effects: Effect) -> None:
        self.outbox.extend(effects)

    def record(
        self, now: float, event: str, text: str, level: Level = "info", **data: Scalar
    ) -> None:
        """Put on record what concerns nobody in particular."""
        self.emit(Record(now, event, clean(text), level, data=data))

    def record_of(
        self,
        who: Arrival | Client,
        now: float,
        event: str,
        text: str,
        level: Level = "info",
        **data: Scalar,
    ) -> None:
        """Put on record what concerns a client."""
        self.emit(self.about(who, now, event, text, level, **data))

    def about(
        self,
        who: Arrival | Client,
        now: float,
        event: str,
        text: str,
        level: Level = "info",
        **data: Scalar,
    ) -> Record:
        """An entry for the record that names a client."""
        name = who.grant.name if isinstance(who, Client) else None
        arrival = who.arrival if isinstance(who, Client) else who
        return Record(
            now,
            event,
            clean(text),
            level,
            arrival.client_id,
            name,
            arrival.fingerprint,
            arrival.way,
            {"address": clean(arrival.address), **data},
        )

    def routes(self, now: float) -> list[RouteName]:
        """The invites whose names must be published beside token and alias."""
        return self.invites.routes(now)
