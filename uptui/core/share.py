"""The share: one object for the daemon to hold, made of admission, commands and their state.

Every method is synchronous and takes `now` (Unix seconds). What it brings about is in the outbox
afterwards, in order; `drain` takes it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from uptui.core.access import landing_of
from uptui.core.admission import Admission
from uptui.core.commands import Commands, role_called
from uptui.core.events import Dirty, Effect, RoutesChanged, StopSharing, Tell
from uptui.core.invites import Invite, Invites
from uptui.core.keys import AuthorizedKey, KeyFormatError, parse_public_key
from uptui.core.people import People, PeopleFullError, Person
from uptui.core.policies import Policies, Presence, Stop, Warn
from uptui.core.session_token import SessionToken
from uptui.core.share_state import ActError, ShareSettings, ShareState
from uptui.protocol.durations import written
from uptui.protocol.host_api import EditPerson, NewInvite
from uptui.protocol.names import Fingerprint, RouteName, masked
from uptui.text import clean_name


class Share:
    """A share and all it knows."""

    def __init__(
        self,
        settings: ShareSettings,
        now: float,
        *,
        address: SessionToken | None = None,
        people: list[Person] | None = None,
        invites: list[Invite] | None = None,
    ) -> None:
        self.state = ShareState(
            settings,
            address or SessionToken.fresh(now),
            People(people),
            Invites(invites),
            Policies(settings.rules, now),
        )
        self.admission = Admission(self.state)
        self.commands = Commands(self.state, self.admission)
        self._published = set(self.state.routes(now))
        if address is None:
            self.state.emit(Dirty("session"))

    def drain(self) -> list[Effect]:
        """Take what has happened since the last call."""
        effects, self.state.outbox = self.state.outbox, []
        return effects

    def configure(self, settings: ShareSettings, now: float) -> None:
        """Use other settings from now on; clients whose role changed get its new content."""
        state = self.state
        alias_changed = settings.alias != state.settings.alias
        state.settings = settings
        state.policies.rules = settings.rules
        if alias_changed:
            state.emit(RoutesChanged())
        for client in state.connected.all():
            role = settings.roles.get(client.grant.role.name)
            if role is not None and role != client.grant.role:
                self.commands.change_role(client.arrival.client_id, role.name, now)

    def authorize(self, keys: Mapping[Fingerprint, AuthorizedKey]) -> None:
        """Replace the keys that files and services list."""
        self.state.authorized = keys

    def clock_moved(self, by: float, now: float) -> None:
        """The clock was set, or the machine slept for `by` seconds: no duration counts them."""
        state = self.state
        state.policies.clock_moved(by)
        state.requests.clock_moved(by)
        state.connected.clock_moved(by)
        way = "ahead" if by > 0 else "back"
        text = f"the clock moved {way} by {written(round(abs(by)))}; what lasts so long lasts on"
        state.record(now, "clock.moved", text, "notice", seconds=round(by, 1))

    def tick(self, now: float, present: Iterable[Presence]) -> None:
        """Time passes: requests and invites end, policies act. Called about once a second."""
        state = self.state
        self.admission.expire(now)
        if state.invites.delete_ended(now):
            state.emit(Dirty("invites"))
        self._publish_if_changed(now)
        rotates_at = state.address.rotates_at(state.settings.rules.rotate_every)
        if rotates_at is not None and now >= rotates_at:
            self.commands.rotate(now)
        due = state.policies.check(now, present)
        if isinstance(due, Warn):
            self._warn(due, now)
        elif isinstance(due, Stop):
            state.record(now, "share.ended", f"sharing stops: {due.reason}", "warning")
            state.emit(StopSharing(due.reason))

    def invite(self, new: NewInvite, now: float) -> Invite:
        """Make an invite. Raises ActError."""
        role = role_called(self.state, new.role)
        try:
            landing_of(new.landing)
            invite = self.state.invites.create(new, now)
        except ValueError as error:
            raise ActError("value", str(error)) from error
        self.state.emit(Dirty("invites"))
        text = f"an invite for {invite.name} as {role.name}"
        self.state.record(now, "invite.created", text, "notice", invite=masked(invite.route))
        self._publish_if_changed(now)
        return invite

    def revoke(self, route: str, now: float) -> Invite:
        """End an invite; those who are in stay. `route` may be its name. Raises ActError."""
        called = self.state.invites.find(route, now)
        name = masked(clean_name(route))
        if not called:
            raise ActError("unknown", f"there is no invite {name!r}")
        if len(called) > 1:
            problem = f"{len(called)} invites are called {name!r}: revoke each by its address"
            raise ActError("state", problem)
        found = called[0]
        revoked = self.state.invites.revoke(found.route, now)
        if revoked is None:
            raise ActError("state", f"the invite {found.name} is {found.state(now)} already")
        self.state.emit(Dirty("invites"))
        self.state.record(
            now,
            "invite.revoked",
            f"the invite {revoked.name} was revoked",
            "notice",
            invite=masked(revoked.route),
        )
        self._publish_if_changed(now)
        return revoked

    def edit_person(self, fingerprint: str, edit: EditPerson, now: float) -> Person:
        """Rename, block, or change the role of somebody known, at once. Raises ActError."""
        state = self.state
        person = self._person(fingerprint)
        name = person.name if edit.name is None else clean_name(edit.name)
        role = person.role if edit.role is None else edit.role
        if not name:
            raise ActError("value", "the name is empty")
        if role:
            role_called(state, role)
        changed = msgspec.structs.replace(person, name=name, role=role)
        if edit.blocked is not None:
            changed = msgspec.structs.replace(changed, blocked=edit.blocked)
        changed = self._put(changed)
        if edit.blocked and not person.blocked:
            self.commands.block(person.fingerprint, person.key, name, now)
        else:
            self._regrant(changed, edit)
        if (name, role) != (person.name, person.role) or (person.blocked and not changed.blocked):
            state.record(
                now,
                "person.changed",
                f"{name}: role {role or 'asked each time'}"
                + (", no longer blocked" if person.blocked and not changed.blocked else ""),
                "notice",
                fingerprint=person.fingerprint,
            )
        return changed

    def add_person(self, key: str, name: str, role: str, now: float) -> Person:
        """Remember a key before it ever came. Raises ActError."""
        try:
            parsed = parse_public_key(key)
        except KeyFormatError as error:
            raise ActError("value", f"not a public key: {error}") from error
        role_called(self.state, role)
        old = self.state.people.get(parsed.fingerprint)
        person = old or Person(
            fingerprint=parsed.fingerprint, key=parsed.text, name="", source="added by the host"
        )
        called = clean_name(name) or person.name or parsed.comment or parsed.fingerprint
        added = self._put(msgspec.structs.replace(person, name=called, role=role))
        self.state.record(
            now, "person.added", f"{called} is known as {role}", fingerprint=added.fingerprint
        )
        return added

    def forget_person(self, fingerprint: str, now: float) -> None:
        """Forget somebody, role and block included; who is in stays. Raises ActError."""
        person = self._person(fingerprint)
        self.state.people.forget(person.fingerprint)
        self.state.connected.end_approvals(person.fingerprint)
        self.state.emit(Dirty("people"))
        self.state.record(
            now,
            "person.forgotten",
            f"{person.name} was forgotten",
            "notice",
            fingerprint=person.fingerprint,
        )

    def routes(self, now: float) -> list[RouteName]:
        """Invites to publish beside token and alias."""
        return self.state.routes(now)

    def _regrant(self, person: Person, edit: EditPerson) -> None:
        """Let a new name or role hold for who is in, and for who comes back."""
        if edit.role is not None:
            self.state.connected.end_approvals(person.fingerprint)
        if edit.name is not None:
            self.state.connected.rename(person.fingerprint, person.name)
        if edit.role is not None or edit.name is not None:
            role = self.state.settings.roles[person.role] if edit.role else None
            self.commands.regrant(person.fingerprint, role, person.name)

    def _person(self, fingerprint: str) -> Person:
        person = self.state.people.get(fingerprint)
        if person is None:
            raise ActError("unknown", f"nobody with the key {clean_name(fingerprint)!r} is known")
        return person

    def _put(self, person: Person) -> Person:
        try:
            person = self.state.people.put(person)
        except PeopleFullError as error:
            raise ActError("state", str(error)) from error
        self.state.emit(Dirty("people"))
        return person

    def _warn(self, due: Warn, now: float) -> None:
        minutes = due.seconds / 60
        left = f"{minutes:.0f} min" if minutes >= 1.5 else f"{due.seconds:.0f} s"
        text = f"this share ends in {left}: {due.reason}"
        self.state.record(now, "share.warning", text, "warning", seconds=round(due.seconds))
        for client in self.state.connected.all():
            self.state.emit(Tell(client.arrival.client_id, text))

    def _publish_if_changed(self, now: float) -> None:
        routes = set(self.state.routes(now))
        if routes != self._published:
            self._published = routes
            self.state.emit(RoutesChanged())
