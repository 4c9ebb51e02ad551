"""Routing tables: who serves what, who was superseded, which stream ids are worth something."""

import pytest

from uptui.protocol.control import MAX_ROUTES, Publish, Refusal, Route
from uptui.protocol.names import Fingerprint, RouteName, new_invite, new_token
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.tunnel.registry import BusyError, ConnectedHost, Registry, shape_refusals

ALICE = Identity(Fingerprint("SHA256:alice"), "ssh-ed25519 A")
BOB = Identity(Fingerprint("SHA256:bob"), "ssh-ed25519 B")
TOKEN, OTHER, INVITE, ALIAS = new_token(), new_token(), new_invite(), RouteName("demo-box")


def registry(*, hosts: int = 10, dials: int = 10, per_host: int = 10) -> Registry:
    return Registry(
        max_hosts=hosts, max_dials=dials, max_dials_per_host=per_host, max_dials_per_source=1000
    )


def joined(table: Registry, identity: Identity = ALICE) -> ConnectedHost:
    host = table.add_host(identity, "192.0.2.1", 0.0)
    assert host is not None
    return host


def wish(*names: RouteName, instance: str = "one", revision: int = 1) -> Publish:
    routes = [Route(name=name, kind="token") for name in names]
    return Publish(revision=revision, instance=instance, routes=routes, host_keys=["k"])


def test_what_is_published_is_served_and_what_is_absent_is_closed() -> None:
    table = registry()
    host = joined(table)
    table.publish(host, wish(TOKEN, OTHER), [])
    change = table.publish(host, wish(OTHER), [])
    assert change.closed == {TOKEN}
    assert table.serving(TOKEN) is None
    assert table.serving(OTHER) is host


def test_refused_names_are_not_served() -> None:
    table = registry()
    host = joined(table)
    refusal = Refusal(name=TOKEN, code="taken", message="no")
    change = table.publish(host, wish(TOKEN, OTHER), [refusal])
    assert change.refused == (refusal,)
    assert [route.name for route in change.accepted] == [OTHER]
    assert table.serving(TOKEN) is None


def test_another_identity_cannot_take_a_name_that_is_served() -> None:
    table = registry()
    first, second = joined(table), joined(table, BOB)
    table.publish(first, wish(TOKEN), [])
    change = table.publish(second, wish(TOKEN), [])
    assert [refusal.code for refusal in change.refused] == ["taken"]
    assert table.serving(TOKEN) is first


def test_the_newest_daemon_of_an_identity_wins_and_the_old_one_leaves_nothing_behind() -> None:
    table = registry()
    old, new = joined(table), joined(table)
    table.publish(old, wish(TOKEN, OTHER), [])
    change = table.publish(new, wish(TOKEN, instance="two"), [])
    assert change.superseded is old
    assert change.closed == {OTHER}
    assert old.ousted
    assert table.serving(TOKEN) is new
    assert table.remove_host(old.id) == frozenset()
    assert table.serving(TOKEN) is new


def test_a_daemon_that_publishes_again_supersedes_nobody() -> None:
    table = registry()
    host = joined(table)
    table.publish(host, wish(TOKEN), [])
    assert table.publish(host, wish(TOKEN, revision=2), []).superseded is None


def test_a_host_that_leaves_takes_its_names_with_it() -> None:
    table = registry()
    host = joined(table)
    table.publish(host, wish(TOKEN), [])
    assert table.remove_host(host.id) == {TOKEN}
    assert table.serving(TOKEN) is None
    assert table.hosts == ()


def test_a_stream_id_works_once_and_only_in_time() -> None:
    table = registry()
    host = joined(table)
    table.publish(host, wish(TOKEN), [])
    dial = table.dial(TOKEN, "port", 100.0, 10.0)
    late = table.dial(TOKEN, "port", 100.0, 10.0)
    assert dial is not None
    assert late is not None
    assert table.claim(dial.stream_id, 109.9) is dial
    assert table.claim(dial.stream_id, 109.9) is None
    assert table.claim(late.stream_id, 110.0) is None
    assert host.pending == 0


def test_nobody_waits_for_a_name_that_is_not_served() -> None:
    assert registry().dial(TOKEN, "jump", 0.0, 10.0) is None


def test_only_the_host_that_was_asked_can_give_up_a_dial() -> None:
    table = registry()
    host, stranger = joined(table), joined(table, BOB)
    table.publish(host, wish(TOKEN), [])
    dial = table.dial(TOKEN, "port", 0.0, 10.0)
    assert dial is not None
    assert table.abandon(dial.stream_id, stranger.id) is None
    assert table.abandon(dial.stream_id, host.id) is dial
    assert table.pending == 0


@pytest.mark.parametrize(("dials", "per_host"), [(1, 10), (10, 1)])
def test_waiting_clients_are_limited_overall_and_per_host(dials: int, per_host: int) -> None:
    table = registry(dials=dials, per_host=per_host)
    host = joined(table)
    table.publish(host, wish(TOKEN), [])
    table.dial(TOKEN, "port", 0.0, 10.0)
    with pytest.raises(BusyError):
        table.dial(TOKEN, "port", 0.0, 10.0)


def test_a_full_relay_takes_no_more_hosts() -> None:
    table = registry(hosts=1)
    joined(table)
    assert table.add_host(BOB, "192.0.2.2", 0.0) is None


def test_a_closed_route_is_gone_for_its_host_too() -> None:
    table = registry()
    host = joined(table)
    table.publish(host, wish(TOKEN), [])
    table.withdraw(host, TOKEN)
    assert table.serving(TOKEN) is None
    assert not host.routes


def test_the_owner_of_an_alias_takes_it_from_a_former_one_who_cannot_close_it_then() -> None:
    table = registry()
    former, owner = joined(table), joined(table, BOB)
    claim = Publish(
        revision=1, instance="i", routes=[Route(name=ALIAS, kind="alias")], host_keys=["k"]
    )
    table.publish(former, claim, [])
    change = table.publish(owner, claim, [])
    assert change.displaced == ((former, ALIAS),)
    assert not change.refused
    table.withdraw(former, ALIAS)
    assert table.serving(ALIAS) is owner


def test_names_of_the_wrong_shape_and_too_many_are_refused() -> None:
    routes = [
        Route(name=TOKEN, kind="token"),
        Route(name=TOKEN, kind="alias"),
        Route(name=INVITE, kind="invite"),
        Route(name=ALIAS, kind="alias"),
        Route(name=RouteName("No Such"), kind="alias"),
    ]
    assert set(shape_refusals(routes[:1] + routes[2:])) == {"No Such"}
    assert shape_refusals([routes[1]])[TOKEN].code == "invalid_name"
    many = [Route(name=new_token(), kind="token") for _ in range(MAX_ROUTES + 1)]
    assert [refusal.code for refusal in shape_refusals(many).values()] == ["quota"]
