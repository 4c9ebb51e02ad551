"""The door of a share: clients arrive, wait, are let in or turned away, and leave."""

from typing import Final

from uptui.core import access
from uptui.core.access import Admit, Arrival, Ask, Facts, Grant, Landing, Refuse
from uptui.core.events import Dirty, LetIn, TurnAway
from uptui.core.invites import Invite
from uptui.core.requests import Request, TooManyError
from uptui.core.roster import Client
from uptui.core.share_state import ShareState
from uptui.core.text import clean, clean_name
from uptui.protocol.names import ClientId, Fingerprint, RouteName, masked

FULL: Final = "This share has as many connections as it takes. Try again later."
NO_ANSWER: Final = "Nobody answered your request in time, so the answer is no. Try again later."
QUIET_FOR: Final = 600.0
"""Seconds in which a key that is turned away quietly is put on record only once."""
MAX_QUIET: Final = 1000


class Door:
    """Applies `access.decide` to those who arrive."""

    def __init__(self, state: ShareState) -> None:
        self._state = state
        self._noted: dict[Fingerprint, float] = {}

    def screen(self, arrival: Arrival, now: float) -> bool:
        """Whether a key may authenticate; a quiet refusal lets the client try its next key."""
        decision = access.decide(arrival, self._facts(arrival, now))
        if not (isinstance(decision, Refuse) and decision.quiet):
            return True
        self._note_quiet(arrival, decision, now)
        return False

    def arrive(self, arrival: Arrival, now: float) -> None:
        """Decide; the outbox then has a LetIn or a TurnAway, or neither while a person is asked."""
        state = self._state
        if len(state.roster) + self._waiting() >= state.settings.max_clients:
            self._refuse(arrival, Refuse(FULL, "full"), now)
            return
        decision = access.decide(arrival, self._facts(arrival, now))
        if isinstance(decision, Refuse):
            self._refuse(arrival, decision, now)
        elif isinstance(decision, Ask):
            self._ask(arrival, decision, now)
        elif decision.spend is not None and not self._spend(decision.spend, arrival, now):
            self._refuse(arrival, Refuse(access.ROTATED, "invite"), now)
        else:
            self._admit(arrival, decision, now)

    def wants(self, client_id: ClientId, what: str) -> None:
        """A client that waits asks for something."""
        request = self._state.requests.of_client(client_id)
        if request is not None:
            request.wish(what)

    def leave(self, client_id: ClientId, reason: str, now: float, *, gave_up: bool) -> None:
        """A client is gone, whatever its state was."""
        state = self._state
        request = state.requests.of_client(client_id)
        if request is not None:
            state.requests.leave(client_id, now, gave_up=gave_up)
            state.record_of(
                request.arrival,
                now,
                "client.gave-up",
                f"{request.name} left before an answer{_because(reason)}",
            )
            return
        client = state.roster.leave(client_id, now)
        if client is not None:
            text = f"{client.grant.name} left{_because(reason)}"
            state.record_of(client, now, "client.left", text, seconds=round(now - client.since, 1))
            self._remember(client, now)

    def let_in(self, request: Request, given: Grant, landing: Landing, now: float) -> None:
        """Answer everybody who waits in a request that has been taken from the queue."""
        for arrival in request.clients.values():
            self._enter(arrival, given, landing, None, now)

    def turn_away(self, request: Request, message: str) -> None:
        """Say no to everybody who waits in a request that has been taken from the queue."""
        self._state.emit(*(TurnAway(client_id, message) for client_id in request.clients))

    def expire(self, now: float) -> None:
        """Requests that nobody answered in time are denied."""
        for request in self._state.requests.pop_ended(now):
            self.turn_away(request, NO_ANSWER)
            self._state.record_of(
                request.arrival,
                now,
                "request.expired",
                f"nobody answered the request of {request.name}",
                "notice",
            )

    def _waiting(self) -> int:
        return sum(len(request.clients) for request in self._state.requests.all())

    def _facts(self, arrival: Arrival, now: float) -> Facts:
        state = self._state
        settings = state.settings
        named = access.named_invite(arrival)
        invite = state.invites.get(named) if named is not None else None
        return Facts(
            token=state.address.token,
            alias=settings.alias,
            unknown=settings.unknown,
            locked=state.address.locked,
            e2e_only=settings.e2e_only,
            default_role=settings.default_role,
            default_landing=settings.default_landing,
            roles=settings.roles,
            invite=invite,
            invite_problem=invite.problem(arrival.fingerprint, now) if invite else None,
            person=state.people.get(arrival.fingerprint),
            authorized=state.authorized.get(arrival.fingerprint),
            visit=state.roster.visit(arrival, now),
        )

    def _ask(self, arrival: Arrival, ask: Ask, now: float) -> None:
        state = self._state
        try:
            timeout = state.settings.approval_timeout
            request, new = state.requests.add(arrival, ask, now, timeout)
        except TooManyError as error:
            self._refuse(arrival, Refuse(str(error), "too many requests"), now)
            return
        if new:
            state.record_of(
                arrival,
                now,
                "client.waiting",
                f"{request.name} asks to join",
                "notice",
                request=request.id,
                user=_user(arrival),
                program=clean(arrival.program),
            )

    def _spend(self, invite: Invite, arrival: Arrival, now: float) -> bool:
        state = self._state
        before = invite.used_by
        if not state.invites.spend(invite.route, arrival.fingerprint, now):
            return False
        if arrival.fingerprint not in before:
            state.emit(Dirty("invites"))
            state.record_of(
                arrival,
                now,
                "invite.used",
                f"the invite {invite.name} was used",
                invite=masked(invite.route),
            )
        return True

    def _admit(self, arrival: Arrival, decision: Admit, now: float) -> None:
        if decision.spend is not None:
            landing = access.landing_of(decision.spend.landing)
            self._enter(arrival, decision.grant, landing, decision.spend.route, now)
        else:
            landing = self._state.settings.default_landing
            self._enter(arrival, decision.grant, landing, None, now)

    def _enter(
        self,
        arrival: Arrival,
        given: Grant,
        landing: Landing,
        invite: RouteName | None,
        now: float,
    ) -> None:
        state = self._state
        client = Client(arrival, given, landing, now, invite)
        state.roster.enter(client)
        state.policies.joined(now)
        state.emit(LetIn(arrival.client_id, given))
        state.record_of(
            client,
            now,
            "client.joined",
            f"{given.name} joined as {given.role.name} ({given.reason})",
            "notice",
            role=given.role.name,
            user=_user(arrival),
            program=clean(arrival.program),
            vouched=arrival.vouched,
        )
        self._remember(client, now)

    def _remember(self, client: Client, now: float) -> None:
        arrival = client.arrival
        self._state.people.seen(
            arrival.fingerprint, arrival.key, client.grant.name, client.grant.reason, now
        )
        self._state.emit(Dirty("people"))

    def _refuse(self, arrival: Arrival, refusal: Refuse, now: float) -> None:
        self._state.emit(TurnAway(arrival.client_id, refusal.message))
        self._state.record_of(
            arrival,
            now,
            "client.refused",
            f"refused {_user(arrival) or 'a client'}: {refusal.why}",
            "notice",
            why=refusal.why,
            user=_user(arrival),
            program=clean(arrival.program),
        )

    def _note_quiet(self, arrival: Arrival, refusal: Refuse, now: float) -> None:
        if now - self._noted.get(arrival.fingerprint, -QUIET_FOR) < QUIET_FOR:
            return
        if len(self._noted) >= MAX_QUIET:
            self._noted.clear()
        self._noted[arrival.fingerprint] = now
        text = f"a key of {_user(arrival) or 'a client'} was not accepted: {refusal.why}"
        self._state.record_of(arrival, now, "key.refused", text, why=refusal.why)


def _user(arrival: Arrival) -> str:
    return masked(clean_name(arrival.user))


def _because(reason: str) -> str:
    return f" ({clean(reason)})" if reason else ""
