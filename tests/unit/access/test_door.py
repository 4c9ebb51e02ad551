"""Arrivals: every decision, the limits on waiting, invites, rotation and locks."""

import dataclasses
import itertools
from typing import Final, get_args

import pytest

from tests.unit.access.builders import NOW, arrival, key, of_kind, share
from uptui.core.access import Arrival, Landing
from uptui.core.connected import APPROVAL_GRACE
from uptui.core.events import (
    Apply,
    Disconnect,
    LetIn,
    Record,
    RoutesChanged,
    StopSharing,
    TurnAway,
)
from uptui.core.keys import parse_authorized_keys
from uptui.core.policies import Rules
from uptui.core.requests import (
    MAX_CLIENTS_PER_REQUEST,
    MAX_PENDING,
    MAX_PENDING_PER_SOURCE,
    pending_model,
)
from uptui.core.roles import Capability
from uptui.core.share import Share
from uptui.core.share_state import ActError
from uptui.errors import ConfigError
from uptui.protocol.host_api import Approve, Deny, EditPerson, Kick, NewInvite, UnknownPolicy
from uptui.protocol.names import RouteName, Way, new_invite, new_secret, new_token, with_secret

WAYS: Final[tuple[Way, ...]] = get_args(Way)


def outcome(made: Share, who: Arrival, now: float = NOW) -> LetIn | TurnAway | None:
    """What happened to an arrival: in, away, or None while it waits."""
    made.admission.arrive(who, now)
    answers = [e for e in made.drain() if isinstance(e, LetIn | TurnAway)]
    assert len(answers) <= 1
    assert all(answer.client_id == who.client_id for answer in answers)
    return answers[0] if answers else None


def refused(made: Share, who: Arrival, now: float = NOW) -> str:
    answer = outcome(made, who, now)
    assert isinstance(answer, TurnAway), answer
    return answer.message


def let_in(made: Share, who: Arrival, now: float = NOW) -> LetIn:
    answer = outcome(made, who, now)
    assert isinstance(answer, LetIn), answer
    return answer


def authorize(made: Share, text: str) -> None:
    keys, problems = parse_authorized_keys(text, "keys", "authorized_keys")
    assert not problems
    made.authorize({k.key.fingerprint: k for k in keys})


def test_an_unknown_key_waits_and_the_answer_lets_it_in() -> None:
    made = share()
    who = arrival(wants="shell")
    assert outcome(made, who) is None
    (request,) = made.state.requests.all()
    made.commands.approve(request.id, Approve(role="pair", name="Alice"), NOW + 5)
    (answer,) = of_kind(made.drain(), LetIn)
    assert answer.client_id == who.client_id
    assert (answer.grant.name, answer.grant.role.name) == ("Alice", "pair")
    assert answer.grant.landing == Landing("shared"), "a role without shells lands in the terminal"


def test_approved_once_holds_for_the_visit_and_no_longer() -> None:
    made = share()
    first = arrival()
    outcome(made, first)
    made.commands.approve(made.state.requests.all()[0].id, Approve(), NOW)
    made.drain()
    second = arrival()
    let_in(made, second, NOW + 86400)
    for who in (first, second):
        made.admission.leave(who.client_id, "", NOW + 86400, gave_up=False)
    made.drain()
    third = arrival()
    let_in(made, third, NOW + 86400 + APPROVAL_GRACE - 1)
    made.admission.leave(third.client_id, "", NOW + 90000, gave_up=False)
    made.drain()
    assert outcome(made, arrival(), NOW + 90000 + APPROVAL_GRACE) is None


@pytest.mark.parametrize(
    ("approved", "other", "admitted"), [("plain", "port", True), ("port", "plain", False)]
)
def test_a_relays_word_is_not_worth_a_proof(approved: Way, other: Way, admitted: bool) -> None:
    made = share()
    outcome(made, arrival(way=approved))
    made.commands.approve(made.state.requests.all()[0].id, Approve(), NOW)
    made.drain()
    assert isinstance(outcome(made, arrival(way=other)), LetIn) is admitted


def test_always_remembers_the_role() -> None:
    made = share()
    who = arrival()
    outcome(made, who)
    made.commands.approve(made.state.requests.all()[0].id, Approve(remember=True, role="pair"), NOW)
    made.admission.leave(who.client_id, "", NOW, gave_up=False)
    made.drain()
    assert let_in(made, arrival(), NOW + 1e6).grant.role.name == "pair"


def test_nobody_answering_means_no() -> None:
    made = share(approval_timeout=30.0)
    who = arrival()
    outcome(made, who)
    made.tick(NOW + 29.9, [])
    assert not of_kind(made.drain(), TurnAway)
    made.tick(NOW + 30, [])
    (answer,) = of_kind(made.drain(), TurnAway)
    assert "in time" in answer.message
    with pytest.raises(ActError, match="waits any more"):
        made.commands.approve("rxxxxx", Approve(), NOW)


def test_a_clock_that_is_set_ends_no_wait() -> None:
    made = share(approval_timeout=30.0, rules=Rules(stop_unused=7200.0))
    outcome(made, arrival())
    made.clock_moved(180_000.0, NOW + 180_000)
    made.tick(NOW + 180_000 + 29.9, [])
    made.clock_moved(-864_000.0, NOW - 684_000)
    made.tick(NOW - 684_000 + 29.95, [])
    assert not [e for e in made.drain() if isinstance(e, TurnAway | StopSharing)]
    made.tick(NOW - 684_000 + 30, [])
    assert of_kind(made.drain(), TurnAway)
    made.tick(NOW - 684_000 + 7200, [])
    assert of_kind(made.drain(), StopSharing)


def test_deny_and_block() -> None:
    made = share()
    outcome(made, arrival())
    made.commands.deny(made.state.requests.all()[0].id, Deny(), NOW)
    assert len(of_kind(made.drain(), TurnAway)) == 1
    assert outcome(made, arrival()) is None, "denied once may ask again"
    made.commands.deny(made.state.requests.all()[0].id, Deny(block=True), NOW)
    made.drain()
    assert "may not join" in refused(made, arrival())
    assert made.admission.screen(arrival(), NOW) == "no"
    assert made.admission.screen(arrival(2), NOW) == "later"


def test_all_connections_of_a_key_wait_as_one() -> None:
    made = share()
    clients = [arrival() for _ in range(MAX_CLIENTS_PER_REQUEST)]
    assert all(outcome(made, who) is None for who in clients)
    assert "wait already" in refused(made, arrival())
    (request,) = made.state.requests.all()
    made.commands.approve(request.id, Approve(), NOW)
    assert {a.client_id for a in of_kind(made.drain(), LetIn)} == {c.client_id for c in clients}


def test_few_wait_per_source_and_overall() -> None:
    made = share()
    for seed in range(MAX_PENDING_PER_SOURCE):
        assert outcome(made, arrival(seed, address="2001:db8::1")) is None
    assert "from your address" in refused(made, arrival(90, address="2001:db8::ffff:1"))
    for seed in range(100, 100 + MAX_PENDING - MAX_PENDING_PER_SOURCE):
        assert outcome(made, arrival(seed, address=f"192.0.2.{seed}")) is None
    assert "Too many" in refused(made, arrival(91, address="203.0.113.1"))


def test_a_lost_client_finds_itself_approved_and_one_that_gave_up_does_not() -> None:
    made = share()
    slow = arrival()
    outcome(made, slow)
    made.admission.leave(slow.client_id, "connection lost", NOW + 15, gave_up=False)
    (request,) = made.state.requests.all()
    made.commands.approve(request.id, Approve(), NOW + 20)
    assert not of_kind(made.drain(), LetIn)
    let_in(made, arrival(), NOW + 30)
    quitter = arrival(2)
    outcome(made, quitter)
    made.admission.leave(quitter.client_id, "gave up", NOW + 31, gave_up=True)
    assert not made.state.requests.all()


def test_a_lost_client_that_comes_back_waits_in_the_same_request() -> None:
    made = share()
    first = arrival()
    outcome(made, first)
    made.admission.leave(first.client_id, "lost", NOW + 15, gave_up=False)
    (request,) = made.state.requests.all()
    assert outcome(made, arrival(), NOW + 20) is None
    assert [r.id for r in made.state.requests.all()] == [request.id]
    made.tick(NOW + 15 + 61, [])
    assert made.state.requests.all(), "it is here again, so the return window is over"


def test_unknown_deny_is_quiet_and_known_keys_come_in() -> None:
    made = share(unknown="deny")
    authorize(made, f'uptui-role="viewer" {key(2)} bob')
    assert [made.admission.screen(arrival(1), NOW + n) for n in range(2)] == ["no", "no"]
    assert len(of_kind(made.drain(), Record)) == 1, "on record once"
    answer = let_in(made, arrival(2))
    assert (answer.grant.name, answer.grant.role.name) == ("bob", "viewer")
    assert answer.grant.reason == "authorized_keys"


def test_accept_wants_the_secret_whatever_the_relay_says() -> None:
    made = share(unknown="accept")
    address = made.state.address
    token, alias = address.token, RouteName("demo-box")
    for way, route in itertools.product(("port", "jump", "plain"), (token, alias)):
        for user in ("alice", token, alias, with_secret(alias, new_secret()), address.secret[:-1]):
            answer = outcome(made, arrival(way=way, route=route, user=user))
            assert isinstance(answer, TurnAway), (way, route, user)
            assert "whole string" in answer.message
    assert not made.state.address.overheard
    for way, name in itertools.product(("port", "jump"), (token, alias)):
        let_in(made, arrival(way=way, route=name, user=with_secret(name, address.secret)))


def test_a_secret_given_to_the_relay_only_gets_to_ask() -> None:
    made = share(unknown="accept")
    user = with_secret(RouteName("demo-box"), made.state.address.secret)
    made.state.command = lambda said: f"ssh -p 7 {said}@relay"
    message = refused(made, arrival(way="plain", user=user))
    assert f"ssh -p 7 {user}@relay" in message
    assert outcome(made, arrival(2, user=user)) is None, "the relay says it too"
    made.commands.rotate(NOW)
    made.drain()
    user = with_secret(RouteName("demo-box"), made.state.address.secret)
    let_in(made, arrival(3, user=user))


def test_an_invite_given_to_the_relay_only_gets_to_ask() -> None:
    made = share(unknown="deny", e2e_only=True)
    invite = made.invite(NewInvite(name="bob", uses=None, bind_first_key=False), NOW)
    let_in(made, arrival(1, user=invite.user))
    assert "end-to-end" in refused(made, arrival(2, way="plain", user=invite.user))
    let_in(made, arrival(1, user=invite.user))
    assert outcome(made, arrival(2, user=invite.user)) is None
    (request,) = made.state.requests.all()
    assert (request.name, request.role) == ("bob", "developer")
    made.commands.approve(request.id, Approve(), NOW)
    made.drain()
    let_in(made, arrival(2, user=invite.user))


@pytest.mark.parametrize("unknown", ["deny", "ask", "accept"])
def test_half_an_invite_admits_nobody(unknown: UnknownPolicy) -> None:
    made = share(unknown=unknown)
    invite = made.invite(NewInvite(name="bob"), NOW)
    wrong = with_secret(invite.route, new_secret())
    for way in WAYS:
        for user in (invite.route, "bob", invite.secret, wrong, f"inv-{invite.secret}"):
            message = refused(made, arrival(way=way, route=invite.route, user=user))
            assert ("half" if user in {invite.route, "bob"} else "") in message
    let_in(made, arrival(route=invite.route, way="jump", user=invite.user))


def test_a_rotated_or_invented_address_is_refused_even_for_known_keys() -> None:
    made = share()
    authorize(made, key(1))
    old = made.state.address.token
    let_in(made, arrival(user=old))
    made.commands.rotate(NOW)
    for user in (old, new_token(), with_secret(new_invite(), new_secret())):
        assert "no longer valid" in refused(made, arrival(user=user))
    assert "no longer valid" in refused(made, arrival(way="jump", route=old))
    let_in(made, arrival(user=made.state.address.token))


def test_rotation_keeps_who_is_in_unless_kicking() -> None:
    made = share()
    authorize(made, key(1))
    who = arrival()
    let_in(made, who)
    made.commands.rotate(NOW)
    effects = made.drain()
    assert of_kind(effects, RoutesChanged)
    assert not of_kind(effects, Disconnect)
    outcome(made, arrival(2))
    made.commands.rotate(NOW, kick=True)
    effects = made.drain()
    assert [e.client_id for e in of_kind(effects, Disconnect)] == [who.client_id]
    assert len(of_kind(effects, TurnAway)) == 1
    assert not len(made.state.connected)


def test_lock_refuses_everybody_new() -> None:
    made = share()
    authorize(made, key(1))
    invite = made.invite(NewInvite(name="bob"), NOW)
    made.commands.lock(True, NOW)
    made.drain()
    for who in (arrival(1), arrival(2), arrival(3, user=invite.user)):
        assert "locked" in refused(made, who)
    made.commands.lock(False, NOW)
    made.drain()
    let_in(made, arrival(1))


def test_e2e_only_refuses_plain() -> None:
    made = share(e2e_only=True)
    authorize(made, key(1))
    assert "end-to-end" in refused(made, arrival(way="plain"))
    let_in(made, arrival(way="jump"))


@pytest.mark.parametrize("way", WAYS)
def test_an_invite_works_on_every_way(way: Way) -> None:
    made = share(plain_invites=True)
    invite = made.invite(NewInvite(name="bob", role="pair", landing="shared"), NOW)
    route, user = ("demo-box" if way == "port" else invite.route), invite.user
    answer = let_in(made, arrival(way=way, route=route, user=user))
    assert (answer.grant.name, answer.grant.role.name) == ("bob", "pair")
    assert answer.grant.landing == Landing("shared")


def test_the_last_use_of_an_invite_goes_to_exactly_one_key() -> None:
    made = share()
    invite = made.invite(NewInvite(name="bob", uses=1, bind_first_key=False), NOW)
    let_in(made, arrival(1, user=invite.user))
    assert "already used" in refused(made, arrival(2, user=invite.user))
    let_in(made, arrival(1, user=invite.user), NOW + 3600)


def test_an_invite_ends_and_is_revoked_alone() -> None:
    made = share()
    short = made.invite(NewInvite(name="short", expires_in=60, uses=None), NOW)
    other = made.invite(NewInvite(name="other", bind_first_key=False, uses=5), NOW)
    who = arrival(1, user=other.user)
    let_in(made, who)
    assert "expired" in refused(made, arrival(2, user=short.user), NOW + 60)
    made.tick(NOW + 60, [])
    assert of_kind(made.drain(), RoutesChanged)
    assert made.routes(NOW + 60) == [other.route]
    made.revoke("other", NOW + 61)
    effects = made.drain()
    assert of_kind(effects, RoutesChanged)
    assert not of_kind(effects, Disconnect)
    assert "revoked" in refused(made, arrival(1, user=other.user), NOW + 62)
    with pytest.raises(ActError, match="already"):
        made.revoke(other.route, NOW + 63)


def test_who_used_an_invite_is_not_let_in_without_it() -> None:
    made = share()
    invite = made.invite(NewInvite(name="bob"), NOW)
    let_in(made, arrival(1, user=invite.user))
    assert outcome(made, arrival(1, user="bob")) is None
    assert made.state.requests.all()[0].name == "bob", "but is recognised"


def test_a_changed_role_applies_now_and_when_the_key_comes_back() -> None:
    made = share()
    invite = made.invite(NewInvite(name="bob", role="developer"), NOW)
    who = arrival(1, user=invite.user)
    let_in(made, who)
    made.commands.change_role(who.client_id, "viewer", NOW)
    (applied,) = of_kind(made.drain(), Apply)
    assert applied.grant.role.capabilities == {Capability.VIEW}
    made.admission.leave(who.client_id, "", NOW, gave_up=False)
    made.drain()
    again = let_in(made, arrival(1, user=invite.user), NOW + 3600)
    assert again.grant.role.name == "viewer"
    with pytest.raises(ActError, match="the roles are viewer, pair, developer"):
        made.commands.change_role(who.client_id, "emperor", NOW)


def test_a_kick_gives_no_rights_back_and_leaves_none_that_were_lent() -> None:
    made = share()
    invite = made.invite(NewInvite(name="bob", role="pair", uses=None, bind_first_key=False), NOW)
    for seed, role, later in ((1, "viewer", "viewer"), (2, "developer", "pair")):
        who = arrival(seed, user=invite.user)
        let_in(made, who)
        made.commands.change_role(who.client_id, role, NOW)
        made.commands.kick(who.client_id, Kick(), NOW)
        made.drain()
        again = let_in(made, arrival(seed, user=invite.user), NOW + 1)
        assert again.grant.role.name == later
    assert outcome(made, arrival(1, user="bob")) is None, "a demotion lets nobody in by itself"


def test_who_is_disconnected_has_left_by_the_record() -> None:
    made = share(unknown="accept")

    def block(who: Arrival) -> None:
        made.commands.block(who.fingerprint, who.key, "x", NOW + 5)

    def kick(who: Arrival) -> None:
        made.commands.kick(who.client_id, Kick(), NOW + 5)

    def rotate(_: Arrival) -> None:
        made.commands.rotate(NOW + 5, kick=True)

    for seed, disconnect in enumerate((block, kick, rotate)):
        secret = made.state.address.secret
        who = arrival(seed, user=with_secret(RouteName("demo-box"), secret))
        let_in(made, who)
        made.drain()
        disconnect(who)
        (left,) = [r for r in of_kind(made.drain(), Record) if r.event == "client.left"]
        assert left.data["seconds"] == 5


def test_an_invite_is_revoked_by_a_name_that_was_used_before() -> None:
    made = share()
    for _ in range(2):
        invite = made.invite(NewInvite(name="rv \x1b[1m"), NOW)
        assert made.revoke("rv \x1b[1m", NOW).route == invite.route
    routes = [made.invite(NewInvite(name="rv"), NOW).route for _ in range(2)]
    with pytest.raises(ActError, match="2 invites are called 'rv'"):
        made.revoke("rv", NOW)
    assert made.revoke(routes[0], NOW).route == routes[0]
    assert made.revoke("rv", NOW).route == routes[1]
    with pytest.raises(ActError, match="no path"):
        made.invite(NewInvite(name="a/b"), NOW)


def test_kick_counts_at_once_and_ends_the_visit() -> None:
    made = share()
    who = arrival()
    outcome(made, who)
    made.commands.kick(who.client_id, Kick(), NOW)
    assert len(of_kind(made.drain(), TurnAway)) == 1, "one that waits is denied"
    outcome(made, who)
    made.commands.approve(made.state.requests.all()[0].id, Approve(), NOW)
    made.drain()
    made.commands.kick(who.client_id, Kick(message="bye\x1b[2J"), NOW)
    (end,) = of_kind(made.drain(), Disconnect)
    assert end.message == "The host disconnected you: bye"
    assert outcome(made, arrival()) is None, "asked about again"
    with pytest.raises(ActError, match="is connected"):
        made.commands.kick(who.client_id, Kick(), NOW)


def test_editing_a_person_acts_on_their_connections() -> None:
    made = share()
    first, second = arrival(), arrival()
    outcome(made, first)
    made.commands.approve(made.state.requests.all()[0].id, Approve(remember=True), NOW)
    made.drain()
    let_in(made, second)
    made.edit_person(first.fingerprint, EditPerson(role="viewer", name="Al"), NOW)
    applied = of_kind(made.drain(), Apply)
    assert {a.client_id for a in applied} == {first.client_id, second.client_id}
    assert {(a.grant.name, a.grant.role.name) for a in applied} == {("Al", "viewer")}
    made.edit_person(first.fingerprint, EditPerson(blocked=True), NOW)
    assert len(of_kind(made.drain(), Disconnect)) == 2
    made.edit_person(first.fingerprint, EditPerson(blocked=False), NOW)
    made.drain()
    assert let_in(made, arrival()).grant.role.name == "viewer"
    made.forget_person(first.fingerprint, NOW)
    made.drain()
    assert outcome(made, arrival()) is None


def test_hostile_text_never_reaches_models_or_record() -> None:
    made = share()
    evil = "\x1b]0;pwned\x07\x1b[2Jro\u202eot\x00\x9b31m\u200b" + "e\u0301" + "\u0301" * 50
    who = arrival(user=evil, program=evil * 100, wants=evil, address=evil)
    outcome(made, who)
    (request,) = made.state.requests.all()
    model = pending_model(request)
    made.commands.approve(request.id, Approve(name=evil), NOW)
    records = of_kind(made.drain(), Record)
    assert len(records) == 2
    shown = [model.user, model.name, model.program, model.wants, model.address]
    for record in records:
        shown += [record.text, record.name or "", *map(str, record.data.values())]
    for text in shown:
        assert text.isprintable()
        assert len(text) <= 200
        assert "pwned" not in text
        assert text.count("\u0301") <= 3 * (text.count("e") + 1)
    assert model.user.startswith("root")


def test_live_settings_change_roles_in_use_and_missing_default_roles_are_named() -> None:
    made = share()
    authorize(made, key(1))
    who = arrival(1)
    let_in(made, who)
    roles = dict(made.state.settings.roles)
    roles["developer"] = dataclasses.replace(roles["developer"], files_root="/srv")
    made.configure(dataclasses.replace(made.state.settings, roles=roles), NOW)
    (applied,) = of_kind(made.drain(), Apply)
    assert applied.grant.role.files_root == "/srv"
    with pytest.raises(ConfigError, match="default_role"):
        dataclasses.replace(made.state.settings, default_role="nobody")


def test_renaming_somebody_keeps_their_visit_and_asking_each_time_ends_it() -> None:
    made = share()
    who = arrival()
    outcome(made, who)
    made.commands.approve(made.state.requests.all()[0].id, Approve(), NOW)
    made.edit_person(who.fingerprint, EditPerson(name="Al"), NOW)
    made.drain()
    assert let_in(made, arrival()).grant.name == "Al"
    made.edit_person(who.fingerprint, EditPerson(role=""), NOW)
    made.drain()
    assert outcome(made, arrival()) is None
    assert len(made.state.connected) == 2, "who is in stays"


def test_a_full_share_refuses_even_known_keys() -> None:
    made = share(max_clients=2)
    authorize(made, key(1))
    let_in(made, arrival(1))
    assert outcome(made, arrival(2)) is None
    assert "as many connections" in refused(made, arrival(1))


def test_blocking_denies_whatever_else_the_key_waits_for() -> None:
    made = share()
    proved, vouched = arrival(way="port"), arrival(way="plain")
    outcome(made, proved)
    outcome(made, vouched)
    first, second = made.state.requests.all()
    assert first.id != second.id, "a relay's word and a proof are asked about separately"
    made.commands.deny(first.id, Deny(block=True), NOW)
    away = {answer.client_id for answer in of_kind(made.drain(), TurnAway)}
    assert away == {proved.client_id, vouched.client_id}
    assert not made.state.requests.all()
