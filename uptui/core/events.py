"""What a decision leaves behind: entries for the record and effects for whoever does IO."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from uptui.core.access import Grant
from uptui.protocol.host_api import Level
from uptui.protocol.names import ClientId, Fingerprint, Way

Scalar = str | int | float | bool | None
Document = Literal["people", "invites", "session"]
"""The parts of the state that are saved separately."""


class Record(msgspec.Struct, frozen=True):
    """One entry for the event log, not yet numbered."""

    at: float
    event: str
    text: str
    level: Level = "info"
    client_id: ClientId | None = None
    name: str | None = None
    fingerprint: Fingerprint | None = None
    way: Way | None = None
    data: dict[str, Scalar] = {}


@dataclass(frozen=True)
class LetIn:
    """Answer a client that waits in `admit` with this grant."""

    client_id: ClientId
    grant: Grant


@dataclass(frozen=True)
class TurnAway:
    """Answer a client that waits in `admit` with no."""

    client_id: ClientId
    message: str


@dataclass(frozen=True)
class Apply:
    """Give a connected client another grant."""

    client_id: ClientId
    grant: Grant


@dataclass(frozen=True)
class Disconnect:
    """End a connected client."""

    client_id: ClientId
    message: str


@dataclass(frozen=True)
class Banish:
    """Nothing that this key left running is kept for it."""

    fingerprint: Fingerprint


@dataclass(frozen=True)
class Tell:
    """Show a line in a client's terminals."""

    client_id: ClientId
    text: str


@dataclass(frozen=True)
class RoutesChanged:
    """The set of names to publish is another one now."""


@dataclass(frozen=True)
class Dirty:
    """This document must be saved."""

    document: Document


@dataclass(frozen=True)
class StopSharing:
    """A policy ends the share."""

    reason: str


Effect = (
    Record
    | LetIn
    | TurnAway
    | Apply
    | Disconnect
    | Banish
    | Tell
    | RoutesChanged
    | Dirty
    | StopSharing
)
