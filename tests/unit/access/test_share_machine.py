"""A state machine over everything a share can be asked: what must hold after any sequence."""

import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.access.builders import NOW, arrival, share
from uptui.core.access import Arrival
from uptui.core.events import Disconnect, LetIn, TurnAway
from uptui.core.invites import Invite
from uptui.core.requests import MAX_PENDING, MAX_PENDING_PER_SOURCE
from uptui.core.share_state import ActError
from uptui.protocol.host_api import Approve, Deny, Kick, NewInvite
from uptui.protocol.names import ClientId, Fingerprint

SEEDS = st.integers(1, 6)
ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"])
ROLES = st.sampled_from(["viewer", "pair", "developer"])


class ShareMachine(RuleBasedStateMachine):
    """Clients arrive, wait, leave and come back while the host acts."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.share = share(max_clients=6)
        self.alive: dict[ClientId, Arrival] = {}
        """Connections whose socket is open and that were not refused."""
        self.inside: set[ClientId] = set()
        self.blocked: set[Fingerprint] = set()
        self.used: dict[str, set[Fingerprint]] = {}
        self.invites: list[Invite] = []

    def carried(self) -> None:
        """Look at the effects as Reception would."""
        for effect in self.share.drain():
            match effect:
                case LetIn(client_id):
                    assert client_id in self.alive
                    assert client_id not in self.inside, "answered twice"
                    assert self.alive[client_id].fingerprint not in self.blocked
                    self.inside.add(client_id)
                case TurnAway(client_id):
                    assert client_id not in self.inside
                    del self.alive[client_id]
                case Disconnect(client_id):
                    assert client_id in self.inside
                    self.inside.discard(client_id)
                    del self.alive[client_id]
                case _:
                    pass

    def arrives(self, who: Arrival) -> None:
        self.alive[who.client_id] = who
        self.share.admission.arrive(who, self.now)
        self.carried()

    @rule(seed=SEEDS, address=ADDRESSES)
    def join(self, seed: int, address: str) -> None:
        self.arrives(arrival(seed, address=address))

    @rule(seed=SEEDS, data=st.data())
    @precondition(lambda self: self.invites)
    def join_by_invite(self, seed: int, data: st.DataObject) -> None:
        invite = data.draw(st.sampled_from(self.invites))
        who = arrival(seed, user=invite.user)
        self.arrives(who)
        if who.client_id in self.inside:
            self.used.setdefault(invite.route, set()).add(who.fingerprint)

    @rule(data=st.data(), gave_up=st.booleans())
    @precondition(lambda self: self.alive)
    def leave(self, data: st.DataObject, gave_up: bool) -> None:
        client_id = data.draw(st.sampled_from(sorted(self.alive)))
        del self.alive[client_id]
        self.inside.discard(client_id)
        self.share.admission.leave(client_id, "gone", self.now, gave_up=gave_up)
        self.carried()

    @rule(data=st.data(), role=ROLES, remember=st.booleans())
    @precondition(lambda self: len(self.share.state.requests) > 0)
    def approve(self, data: st.DataObject, role: str, remember: bool) -> None:
        request = data.draw(st.sampled_from(self.share.state.requests.all()))
        waiting = set(request.clients)
        self.share.commands.approve(request.id, Approve(role=role, remember=remember), self.now)
        self.carried()
        assert waiting <= self.inside

    @rule(data=st.data(), block=st.booleans())
    @precondition(lambda self: len(self.share.state.requests) > 0)
    def deny(self, data: st.DataObject, block: bool) -> None:
        request = data.draw(st.sampled_from(self.share.state.requests.all()))
        if block:
            self.blocked.add(request.arrival.fingerprint)
        self.share.commands.deny(request.id, Deny(block=block), self.now)
        self.carried()

    @rule(data=st.data(), block=st.booleans())
    @precondition(lambda self: self.alive)
    def kick(self, data: st.DataObject, block: bool) -> None:
        client_id = data.draw(st.sampled_from(sorted(self.alive)))
        if block:
            self.blocked.add(self.alive[client_id].fingerprint)
        self.share.commands.kick(client_id, Kick(block=block), self.now)
        self.carried()
        assert client_id not in self.alive

    @rule(data=st.data(), role=ROLES)
    @precondition(lambda self: self.inside)
    def change_role(self, data: st.DataObject, role: str) -> None:
        client_id = data.draw(st.sampled_from(sorted(self.inside)))
        assert self.share.commands.change_role(client_id, role, self.now).role.name == role
        self.carried()

    @rule(uses=st.one_of(st.none(), st.integers(1, 3)), bind=st.booleans())
    def make_invite(self, uses: int | None, bind: bool) -> None:
        new = NewInvite(name="guest", uses=uses, bind_first_key=bind, expires_in=3600)
        self.invites.append(self.share.invite(new, self.now))
        self.carried()

    @rule(data=st.data())
    @precondition(lambda self: self.invites)
    def revoke(self, data: st.DataObject) -> None:
        invite = data.draw(st.sampled_from(self.invites))
        with contextlib.suppress(ActError):
            self.share.revoke(invite.route, self.now)
        self.carried()
        assert invite.route not in self.share.routes(self.now)

    @rule(kick=st.booleans())
    def rotate(self, kick: bool) -> None:
        old = self.share.state.address.token
        assert self.share.commands.rotate(self.now, kick=kick) != old
        self.carried()
        assert not (kick and self.inside)

    @rule(locked=st.booleans())
    def lock(self, locked: bool) -> None:
        self.share.commands.lock(locked, self.now)
        self.carried()

    @rule(seconds=st.sampled_from([0.5, 30.0, 61.0, 200.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.share.tick(self.now, [])
        self.carried()

    @invariant()
    def everybody_is_in_or_waits(self) -> None:
        state = self.share.state
        waiting = {c for request in state.requests.all() for c in request.clients}
        assert {c.arrival.client_id for c in state.connected.all()} == self.inside
        assert waiting == set(self.alive) - self.inside
        assert len(self.alive) <= 6

    @invariant()
    def few_wait(self) -> None:
        requests = self.share.state.requests.all()
        assert len(requests) <= MAX_PENDING
        v6 = [r for r in requests if ":" in r.arrival.address]
        assert len(v6) <= MAX_PENDING_PER_SOURCE + len({r.arrival.address for r in requests})
        assert not any(r.arrival.fingerprint in self.blocked for r in requests)

    @invariant()
    def invites_are_not_overspent(self) -> None:
        for invite in self.invites:
            most = 1 if invite.bind_first_key else invite.uses
            assert most is None or len(self.used.get(invite.route, ())) <= most

    @invariant()
    def blocked_keys_are_out(self) -> None:
        assert not any(self.alive[c].fingerprint in self.blocked for c in self.inside)


TestShareMachine = ShareMachine.TestCase
TestShareMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
