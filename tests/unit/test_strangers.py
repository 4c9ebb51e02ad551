"""Who may wait, who goes first, and whose turn it is."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from uptui.net.handshakes import AT_WORK, Handshakes, Turn
from uptui.net.pending_logins import HASTE, PendingLogin, PendingLogins
from uptui.net.sources import LOCAL, source_of
from uptui.protocol.control import Publish, Route
from uptui.protocol.names import Fingerprint, RouteName
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.tunnel.registry import HASTE as WAITED
from uptui.relay.tunnel.registry import ConnectedHost, Registry


def test_sources() -> None:
    assert source_of("192.0.2.7") == source_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert source_of("2001:db8:1:2::1") == source_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert source_of("fe80::1%eth0") == "fe80::/64"
    assert source_of("") == source_of(None) == source_of("no address") == LOCAL


@given(st.text())
def test_anything_is_of_some_source(text: str) -> None:
    assert source_of(text)


def test_a_flood_drives_out_itself() -> None:
    strangers, dropped = PendingLogins(most=4, most_per_source=3), list[int]()

    def enter(number: int, source: str, now: float) -> PendingLogin | None:
        return strangers.enter(source, lambda: dropped.append(number), now)

    first = [enter(number, "flood", 0) for number in range(3)]
    assert enter(3, "flood", HASTE - 0.1) is None, "none of its own is old enough"
    strangers.touch(first[0] or PendingLogin("", lambda: None, 0), HASTE)
    assert enter(4, "flood", HASTE) is not None
    assert dropped == [1], "the one that was silent longest"
    assert enter(5, "honest", HASTE) is not None
    assert enter(6, "other", HASTE) is not None, "full, so the greediest source makes room"
    assert dropped == [1, 2]
    assert len(strangers) == 4


def test_who_has_logged_in_counts_no_more() -> None:
    strangers = PendingLogins(most=2, most_per_source=1)
    for _ in range(100):
        one = strangers.enter("office", lambda: None, 0)
        assert one is not None
        strangers.leave(one)
        strangers.leave(one)
    assert len(strangers) == 0


async def test_key_exchanges_of_a_source_take_turns() -> None:
    handshakes, begun = Handshakes(), list[int]()

    def turn(number: int, source: str = "flood") -> Turn:
        made = handshakes.turn(source)
        made.take(lambda: begun.append(number))
        return made

    turns = [turn(number) for number in range(AT_WORK + 3)]
    assert begun == list(range(AT_WORK))
    turn(100, "honest")
    assert begun[-1] == 100
    turns[AT_WORK].finish()  # vanished while it waited
    turns[0].finish()
    turns[0].finish()
    await asyncio.sleep(0)
    assert begun[-1] == AT_WORK + 1
    turns[1].finish()
    await asyncio.sleep(0)
    assert begun[-1] == AT_WORK + 2


def serves(registry: Registry, name: RouteName) -> ConnectedHost:
    host = registry.add_host(Identity(Fingerprint(f"SHA256:{name}"), "key"), "", 0.0)
    assert host is not None
    wish = Publish(revision=1, instance="i", routes=[Route(name=name, kind="alias")], host_keys=[])
    registry.publish(host, wish, [])
    return host


def test_a_crowd_at_one_host_drives_out_itself() -> None:
    registry = Registry(max_hosts=9, max_dials=99, max_dials_per_host=4, max_dials_per_source=9)
    silent, other = RouteName("silent-box"), RouteName("other-box")
    host, _ = serves(registry, silent), serves(registry, other)
    assert registry.dial(silent, "port", 0.0, 10.0, "early")
    for _ in range(3):
        assert registry.dial(silent, "port", 0.0, 10.0, "flood")
    first = registry.dials_of(host.id)[1]
    assert registry.crowded_out(silent, "honest", 0.0) == first, "not of who came before the flood"
    assert registry.crowded_out(silent, "flood", 0.5) is None
    assert registry.crowded_out(silent, "flood", WAITED) == first
    assert registry.crowded_out(other, "flood", WAITED) is None, "elsewhere there is room"
    assert registry.crowded_out("nobody-s", "flood", WAITED) is None


def test_a_crowd_of_waiting_clients_drives_out_itself() -> None:
    registry = Registry(max_hosts=9, max_dials=6, max_dials_per_host=9, max_dials_per_source=5)
    name = RouteName("demo-box")
    host = serves(registry, name)
    for _ in range(5):
        assert registry.dial(name, "jump", 0.0, 10.0, "flood")
    assert registry.dial(name, "jump", 0.0, 10.0, "second")
    oldest = registry.dials_of(host.id)[0]
    assert registry.crowded_out(name, "flood", WAITED - 0.1) is None, "none is old enough"
    assert registry.crowded_out(name, "flood", WAITED) == oldest, "a source that has too many"
    assert registry.crowded_out(name, "honest", 0.0) == oldest, "the relay is full"
    assert registry.abandon(oldest.stream_id)
    assert registry.crowded_out(name, "honest", 0.0) is None
    assert registry.dial(name, "port", 0.0, 10.0, "honest")
