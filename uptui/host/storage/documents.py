"""What outlives the daemon: people, invites, token and lock, as documents in a Store."""

from typing import Final, Protocol, TypeVar

import msgspec

from uptui.core.events import Dirty, Document
from uptui.core.invites import Invite
from uptui.core.people import Person
from uptui.core.session_token import SessionToken
from uptui.core.share import Share
from uptui.core.share_state import ShareSettings
from uptui.protocol.names import Fingerprint, is_invite, new_secret

VERSION: Final = 1

T = TypeVar("T", bound=msgspec.Struct)


class Store(Protocol):
    """Named documents in the state directory."""

    def load(self, name: str, kind: type[T]) -> T | None:
        """The document, or None when there is none. Raises StateError."""
        ...

    def save(self, name: str, document: msgspec.Struct) -> None:
        """Replace the document atomically. Raises StateError."""
        ...


class PeopleDocument(msgspec.Struct, kw_only=True):
    """Everybody known, blocks included."""

    version: int = VERSION
    people: list[Person] = []


class InvitesDocument(msgspec.Struct, kw_only=True):
    """Every invite, ended ones included for a while."""

    version: int = VERSION
    invites: list[Invite] = []


class SessionDocument(msgspec.Struct, kw_only=True):
    """Token, rotation and lock."""

    version: int = VERSION
    address: SessionToken
    identity: Fingerprint | None = None
    """Whose names token and invites are: a relay gives them to nobody else."""


class Memory:
    """Loads a share from a store and saves its parts."""

    def __init__(self, store: Store, identity: Fingerprint) -> None:
        self._store = store
        self._identity: Final = identity

    def load(self, settings: ShareSettings, now: float) -> Share:
        """The share as it was when it was last saved. Raises StateError."""
        people = self._store.load("people", PeopleDocument)
        invites = self._store.load("invites", InvitesDocument)
        session = self._store.load("session", SessionDocument)
        known = people.people if people else None
        made = invites.invites if invites else []
        usable = [invite for invite in made if invite.secret and is_invite(invite.route)]
        if session is not None and session.identity not in {None, self._identity}:
            return self._afresh(settings, now, known)
        address = session.address if session else None
        share = Share(settings, now, address=address, people=known, invites=usable)
        if address is not None and not address.secret:
            address.secret = new_secret()
            share.state.emit(Dirty("session"))
        if len(usable) < len(made):
            text = (
                f"{len(made) - len(usable)} invites without a secret half have ended: make new ones"
            )
            share.state.record(now, "invites.dropped", text, "warning")
            share.state.emit(Dirty("invites"))
        return share

    def _afresh(self, settings: ShareSettings, now: float, known: list[Person] | None) -> Share:
        """With new names, for those of another identity would be refused by the relay."""
        share = Share(settings, now, people=known)
        text = "another identity than before: a new token, and the invites have ended"
        share.state.record(now, "identity.changed", text, "warning")
        share.state.emit(Dirty("invites"))
        return share

    def save(self, share: Share, document: Document) -> None:
        """Write one part. Raises StateError."""
        state = share.state
        match document:
            case "people":
                self._store.save("people", PeopleDocument(people=state.people.all()))
            case "invites":
                self._store.save("invites", InvitesDocument(invites=state.invites.all()))
            case "session":
                self._store.save(
                    "session", SessionDocument(address=state.address, identity=self._identity)
                )
