"""The seam between the SSH server and the decisions: what each may ask of the other.

The SSH server (host.sshd) knows transports, processes and files; it asks an AccessControl before it
acts and tells it what happened. That one (host.controller) knows people, roles and policies; it
reaches into a live connection only through Guest.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from uptui.core.access import Arrival, Grant, Landing
from uptui.core.policies import Presence
from uptui.core.traffic import Meter
from uptui.protocol.host_api import ChannelView, Forward, Level, Transfer
from uptui.protocol.names import ClientId, RouteName, Screening, Way

__all__ = [
    "GAVE_UP",
    "AccessControl",
    "Arrival",
    "Grant",
    "Guest",
    "GuestReport",
    "Landing",
    "Presence",
    "Screening",
    "StreamOrigin",
]  # fmt: skip

GAVE_UP: Final = "gave up"
"""Reason for `left` when the person pressed Ctrl-C: the request is withdrawn at once, whereas that
of a client that was lost stays a while for its retry."""


@dataclass(frozen=True)
class StreamOrigin:
    """What the relay said about a stream before its first byte."""

    way: Way
    route: RouteName
    client_host: str
    client_port: int
    verified_key: str | None = None
    """Plain way: public key whose possession the relay vouches for."""
    user: str | None = None
    client_version: str | None = None


@dataclass(frozen=True)
class GuestReport:
    """What a live connection is doing now."""

    cipher: str
    kex: str
    last_activity: float
    """Unix seconds of the last byte of a channel in either direction."""
    channels: list[ChannelView]
    forwards: list[Forward]
    transfers: list[Transfer]


class Guest(Protocol):
    """A live connection, as the decisions see it."""

    @property
    def client_id(self) -> ClientId: ...

    @property
    def meter(self) -> Meter: ...

    def apply(self, grant: Grant) -> None:
        """Use this grant from now on: close what it no longer allows, and tell the client why."""
        ...

    def notify(self, text: str) -> None:
        """Show one line in each of its PTYs."""
        ...

    def disconnect(self, message: str) -> None:
        """Tell the client why, then close every channel and the connection, at once."""
        ...

    def report(self) -> GuestReport: ...

    def presence(self) -> Presence:
        """Whether it is at work: asked every second of each guest that is in."""
        ...


class AccessControl(Protocol):
    """Whom the SSH server asks. Every method but `admit` returns at once."""

    def screen(self, arrival: Arrival) -> Screening:
        """Whether this key may authenticate: "no" and "later" let the client try its next key."""
        ...

    def knock(self, arrival: Arrival) -> None:
        """A client proved a key that was to come later, and left with no other."""
        ...

    async def admit(self, arrival: Arrival, guest: Guest) -> Grant:
        """Decide, waiting for a person if need be; cancelled when the client gives up.

        Raises RefusedError with a message for the client.
        """
        ...

    def wants(self, client_id: ClientId, what: str) -> None:
        """A client that still waits asks for something: shown to who decides."""
        ...

    def note(
        self, client_id: ClientId, event: str, text: str, *, level: Level = "info", **data: object
    ) -> None:
        """Put something on record: exec, forward, transfer, ... (`event` is a dotted name)."""
        ...

    def left(self, client_id: ClientId, reason: str) -> None:
        """The connection is gone; called exactly once per Arrival that reached `admit`.

        `reason` is empty when the client just left.
        """
        ...
