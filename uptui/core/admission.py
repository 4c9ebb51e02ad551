"""Admission to a share: clients arrive, wait, are let in or turned away, and leave."""

from typing import Final

from uptui.core import access, namesakes
from uptui.core.access import Admit, Arrival, Ask, Facts, Grant, Landing, Refuse
from uptui.core.connected import Client
from uptui.core.deferred_keys import RETURN_WITHIN, Knocks
from uptui.core.events import Dirty, LetIn, TurnAway
from uptui.core.invites import Invite
from uptui.core.keys import AuthorizedKey
from uptui.core.requests import Request, TooManyError
from uptui.core.share_state import ShareState
from uptui.protocol.names import ClientId, Fingerprint, RouteName, Screening, masked
from uptui.text import clean, clean_name

FULL: Final = "This share has as many connections as it takes. Try again later."
NO_ANSWER: Final = "Nobody answered your request in time, so the answer is no. Try again later."
QUIET_FOR: Final = 600.0
"""Seconds in which a key that is turned away quietly is put on record only once."""
MAX_QUIET: Final = 1000


class Admission:
    """Applies `access.decide` to those who arrive."""

    def __init__(self, state: ShareState) -> None:
        self._state = state
        self._noted: dict[Fingerprint, float] = {}
        self._knocks = Knocks()

    def screen(self, arrival: Arrival, now: float) -> Screening:
        """Whether a key may authenticate; a quiet refusal lets the client try its next key, and
        so does a key that nobody knows, unless it was put off in vain lately."""
        decision = access.decide(arrival, self._facts(arrival, now))
        if isinstance(decision, Refuse) and decision.quiet:
            self._note_quiet(arrival, decision, now)
            return "no"
        if not access.another_may_do(decision):
            return "in"
        return "in" if self._knocks.returns(arrival.fingerprint, now) else "later"

    def knock(self, arrival: Arrival, now: float) -> None:
        """A key that was put off was proved, and its connection ended there: who decides sees its
        request, and it waits at once when it returns."""
        if not access.another_may_do(access.decide(arrival, self._facts(arrival, now))):
            return
        self._knocks.remember(arrival.fingerprint, now)
        self.arrive(arrival, now)
        self._state.requests.leave(arrival.client_id, now, stays=RETURN_WITHIN)

    def arrive(self, arrival: Arrival, now: float) -> None:
        """Decide; the outbox then has a LetIn or a TurnAway, or neither while a person is asked."""
        state = self._state
        if len(state.connected) + self._waiting() >= state.settings.max_clients:
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
        client = state.connected.leave(client_id, now)
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
        invite = self._invite_of(arrival)
        return Facts(
            token=state.address.token,
            secret=state.address.secret,
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
            authorized=self._listed(arrival, now),
            approval=state.connected.approval(arrival, now),
            plain_invites=settings.plain_invites,
            overheard=state.address.overheard,
            command=state.command(arrival.user) if arrival.way == "plain" else "",
        )

    def _listed(self, arrival: Arrival, now: float) -> AuthorizedKey | None:
        """The line that lists the key, while it holds for this address and time."""
        listed = self._state.authorized.get(arrival.fingerprint)
        return listed if listed is not None and listed.limits.hold(arrival.address, now) else None

    def _invite_of(self, arrival: Arrival) -> Invite | None:
        """The invite whose secret the arrival says."""
        said = access.said_invite(arrival)
        invite = self._state.invites.get(said[0]) if said is not None else None
        if said is None or invite is None or not access.same_secret(said[1], invite.secret):
            return None
        return invite

    def _overheard(self, arrival: Arrival, now: float) -> None:
        """A secret was said where the relay reads it: from now on it only gets to ask."""
        state, invite = self._state, self._invite_of(arrival)
        if invite is None:
            new, what, advice = not state.address.overheard, "the share's address", "rotate it"
            state.address.overheard = True
        else:
            new = state.invites.overhear(invite.route) is not None
            what, advice = f"the invite {invite.name}", "revoke it and make another"
        if new:
            state.emit(Dirty("session" if invite is None else "invites"))
            text = f"{what} was said where the relay reads it: it only gets to ask now; {advice}"
            state.record_of(arrival, now, "secret.overheard", text, "warning")

    def _ask(self, arrival: Arrival, ask: Ask, now: float) -> None:
        state = self._state
        try:
            timeout = state.settings.approval_timeout
            request, new = state.requests.add(arrival, ask, now, timeout)
        except TooManyError as error:
            self._refuse(arrival, Refuse(str(error), "too many requests"), now)
            return
        namesakes.warn(state, now)
        if new:
            warned = {"warning": request.warning} if request.warning else {}
            state.record_of(
                arrival,
                now,
                "client.waiting",
                f"{request.name} asks to join{_because(request.warning)}",
                "warning" if request.warning else "notice",
                **warned,
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
        state.connected.enter(client)
        state.policies.joined(now)
        namesakes.warn(state, now)
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
        if refusal.overheard:
            self._overheard(arrival, now)
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
