"""What the host does to those who are in or wait: approve, deny, kick, roles, lock, rotate."""

from typing import Final

from msgspec.structs import replace

from uptui.core.access import Grant, grant
from uptui.core.admission import Admission
from uptui.core.connected import Client
from uptui.core.events import Apply, Banish, Dirty, Disconnect, RoutesChanged, Tell
from uptui.core.people import PeopleFullError, Person
from uptui.core.requests import Request, who
from uptui.core.roles import Role
from uptui.core.share_state import ActError, ShareState
from uptui.protocol.host_api import Approve, Deny, Kick
from uptui.protocol.names import Fingerprint, RouteName, masked
from uptui.text import clean, clean_name

DENIED: Final = "The host declined your request."
KICKED: Final = "The host disconnected you"
ROTATED_OUT: Final = "The address of this share was changed and everybody disconnected."
MAX_MESSAGE: Final = 500
"""Characters of a message to a client."""


def role_called(state: ShareState, name: str) -> Role:
    """The role of that name. Raises ActError naming those that exist."""
    role = state.settings.roles.get(name)
    if role is None:
        known = ", ".join(state.settings.roles)
        raise ActError("value", f"there is no role {clean_name(name)!r}; the roles are {known}")
    return role


class Commands:
    """The host's acts on requests and clients; each raises ActError when it cannot be done."""

    def __init__(self, state: ShareState, admission: Admission) -> None:
        self._state = state
        self._admission = admission

    def approve(self, request_id: str, answer: Approve, now: float) -> Request:
        """Let in everybody who waits in this request, and their key for the rest of the visit."""
        request = self._pending(request_id)
        role = role_called(self._state, answer.role or request.role)
        name = clean_name(answer.name) if answer.name is not None else request.name
        if not name:
            raise ActError("value", "the name is empty")
        arrival = request.arrival
        reason = "approved, vouched by the relay" if arrival.vouched else "approved"
        if answer.remember or answer.name is not None:
            self._remember(request, name, role.name if answer.remember else None, reason, now)
        self._state.requests.pop(request.id)
        given = grant(name, role, request.landing, reason)
        self._state.connected.begin_approval(who(arrival), given, now)
        how = "always" if answer.remember else "once"
        self._state.record_of(
            arrival,
            now,
            "request.approved",
            f"{name} approved {how} as {role.name}",
            "notice",
            request=request.id,
            role=role.name,
            remember=answer.remember,
        )
        self._admission.let_in(request, given, request.landing, now)
        return request

    def deny(self, request_id: str, answer: Deny, now: float) -> Request:
        """Turn away everybody who waits in this request."""
        request = self._pending(request_id)
        self._state.requests.pop(request.id)
        self._state.record_of(
            request.arrival,
            now,
            "request.denied",
            f"{request.name} denied",
            "notice",
            request=request.id,
            block=answer.block,
        )
        self._admission.turn_away(request, DENIED)
        if answer.block:
            arrival = request.arrival
            self.block(arrival.fingerprint, arrival.key, request.name, now)
        return request

    def kick(self, client_id: str, answer: Kick, now: float) -> None:
        """Disconnect a client; one that still waits is denied."""
        waiting = next(
            (r for r in self._state.requests.all() if any(c == client_id for c in r.clients)), None
        )
        if waiting is not None:
            self.deny(waiting.id, Deny(block=answer.block), now)
            return
        client = self._client(client_id)
        self._kick(client, answer.message, now)
        if answer.block:
            arrival = client.arrival
            self.block(arrival.fingerprint, arrival.key, client.grant.name, now)

    def kick_all(self, answer: Kick, now: float) -> int:
        """Disconnect everybody who is in; how many that were."""
        clients = self._state.connected.all()
        for client in clients:
            self._kick(client, answer.message, now)
            if answer.block:
                arrival = client.arrival
                self.block(arrival.fingerprint, arrival.key, client.grant.name, now)
        return len(clients)

    def change_role(self, client_id: str, role_name: str, now: float) -> Grant:
        """Give a connected client another role at once; it holds when the same key comes back."""
        role = role_called(self._state, role_name)
        client = self._client(client_id)
        old = client.grant.role
        given = client.with_role(role, client.grant.reason)
        self._state.connected.override(client, old, now)
        self._state.emit(Apply(client.arrival.client_id, given))
        self._state.record_of(
            client,
            now,
            "client.role",
            f"{given.name} is {role.name} now, was {old.name}",
            "notice",
            role=role.name,
            was=old.name,
        )
        return given

    def say(self, client_id: str, text: str, now: float) -> None:
        """Show a line in a client's terminals."""
        line = clean(text, MAX_MESSAGE)
        if not line:
            raise ActError("value", "the message is empty")
        client = self._client(client_id)
        self._state.emit(Tell(client.arrival.client_id, line))
        self._state.record_of(client, now, "client.message", f"to {client.grant.name}: {line}")

    def lock(self, locked: bool, now: float) -> None:
        """Refuse new joins, or take them again."""
        address = self._state.address
        if address.locked == locked:
            return
        address.locked = locked
        self._state.emit(Dirty("session"))
        event, text = (
            ("share.locked", "locked: nobody new may join")
            if locked
            else ("share.unlocked", "unlocked: new clients may join")
        )
        self._state.record(now, event, text, "notice")

    def rotate(self, now: float, *, kick: bool = False) -> RouteName:
        """Take a new session token; connected clients stay unless `kick`. The new token."""
        state = self._state
        old = state.address.rotate(now)
        state.emit(Dirty("session"), RoutesChanged())
        text = f"the session token was rotated, {masked(old)} is no longer valid"
        state.record(now, "token.rotated", text, "notice", kick=kick)
        if kick:
            for client in state.connected.all():
                self._disconnect(client, ROTATED_OUT, now)
            for request in state.requests.all():
                state.requests.pop(request.id)
                self._admission.turn_away(request, ROTATED_OUT)
        return state.address.token

    def block(self, fingerprint: Fingerprint, key: str, name: str, now: float) -> Person:
        """Never let this key in again, and disconnect it."""
        state = self._state
        old = state.people.get(fingerprint)
        person = old or Person(fingerprint=fingerprint, key=key, name=name, source="blocked")
        person = self._put(replace(person, blocked=True))
        text = f"the key of {person.name or fingerprint} is blocked"
        state.record(now, "person.blocked", text, "notice", fingerprint=fingerprint)
        for request in state.requests.all():
            if request.arrival.fingerprint == fingerprint:
                state.requests.pop(request.id)
                self._admission.turn_away(request, DENIED)
        for client in state.connected.of_key(fingerprint):
            self._disconnect(client, f"{KICKED}.", now)
        state.emit(Banish(fingerprint))
        return person

    def regrant(self, fingerprint: Fingerprint, role: Role | None, name: str) -> None:
        """Give everybody with this key another name and, unless None, another role."""
        for client in self._state.connected.of_key(fingerprint):
            wanted = role or client.grant.role
            if (client.grant.role, client.grant.name) != (wanted, name):
                client.grant = grant(name, wanted, client.landing, client.grant.reason)
                self._state.emit(Apply(client.arrival.client_id, client.grant))

    def _kick(self, client: Client, message: str, now: float) -> None:
        said = clean(message, MAX_MESSAGE)
        text = f"{client.grant.name} was disconnected"
        self._state.record_of(client, now, "client.kicked", text, "notice", message=said)
        self._disconnect(client, f"{KICKED}: {said}" if said else f"{KICKED}.", now)

    def _disconnect(self, client: Client, message: str, now: float) -> None:
        """End a client now; it counts as gone at once, whatever its socket does."""
        client_id = client.arrival.client_id
        self._state.emit(Disconnect(client_id, message))
        self._admission.leave(client_id, "disconnected by the host", now, gave_up=False)
        self._state.connected.expel(client.arrival.fingerprint)

    def _pending(self, request_id: str) -> Request:
        request = self._state.requests.get(request_id)
        if request is None:
            raise ActError("unknown", f"no request {clean_name(request_id)!r} waits any more")
        return request

    def _client(self, client_id: str) -> Client:
        client = self._state.connected.get(client_id)
        if client is None:
            raise ActError("unknown", f"no client {clean_name(client_id)!r} is connected")
        return client

    def _remember(
        self, request: Request, name: str, role: str | None, source: str, now: float
    ) -> None:
        arrival = request.arrival
        old = self._state.people.get(arrival.fingerprint)
        person = old or Person(
            fingerprint=arrival.fingerprint, key=arrival.key, name=name, first_seen=now
        )
        self._put(
            replace(
                person,
                name=name,
                role=person.role if role is None else role,
                source=source if role is not None else person.source or source,
                last_seen=now,
            )
        )

    def _put(self, person: Person) -> Person:
        try:
            person = self._state.people.put(person)
        except PeopleFullError as error:
            raise ActError("state", str(error)) from error
        self._state.emit(Dirty("people"))
        return person
