"""What the data path is told about wished routes and ports, on a real store."""

from pathlib import Path

import pytest

from tests.network.relay_api.conftest import Clock, Key, Registry
from uptui.errors import ProtocolError
from uptui.protocol.control import Publish, Route
from uptui.protocol.names import Fingerprint, RouteKind, RouteName, new_invite, new_token
from uptui.relay.accounts.alias_service import AliasService, NameSettings
from uptui.relay.accounts.port_limits import Holder, PortQuotaError
from uptui.relay.accounts.publishing import PublishPolicy, StoredPorts
from uptui.relay.accounts.quotas import Quotas
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.live import LiveHost
from uptui.relay.services import ApiSettings, RelayServices
from uptui.relay.store import Database, accounts, usage
from uptui.relay.store.usage import Usage, month_of

SPAN = range(21000, 21003)
HOLDER = Holder("SHA256:somebody", "192.0.2.1")


class Desk:
    """A policy over a store, and identities that publish to it."""

    def __init__(
        self, database: Database, quotas: Quotas | None = None, *, open_hosting: bool = False
    ) -> None:
        self.clock, self.live = Clock(), Registry()
        settings = NameSettings(quotas=quotas or Quotas())
        self.names = AliasService(database, settings, self.clock, open_hosting=open_hosting)
        self.policy = PublishPolicy(database, self.names, self.live, self.clock)
        self.ports = StoredPorts(database, self.names, self.clock)

    async def publish(self, key: Key, *names: str, account: str | None = None) -> dict[str, str]:
        """Refusal codes by name."""
        routes = [Route(name=RouteName(name), kind=_kind(name)) for name in names]
        wish = Publish(revision=1, instance="i", routes=routes, host_keys=[key.text])
        refused = await self.policy.review(identity(key, account), wish)
        return {refusal.name: refusal.code for refusal in refused}


def _kind(name: str) -> RouteKind:
    if name.startswith("inv-"):
        return "invite"
    return "token" if len(name) == 26 else "alias"


def identity(key: Key, account: str | None = None) -> Identity:
    return Identity(Fingerprint(key.fingerprint), key.text, account)


def live_host(session: str, key: Key, account: str | None) -> LiveHost:
    return LiveHost(session, key.fingerprint, account, "192.0.2.1", "", 0.0, [], 0, 0, 0, 0)


async def test_free_names_are_granted_and_the_alias_is_claimed(database: Database) -> None:
    desk, key = Desk(database), Key()
    assert await desk.publish(key, new_token(), new_invite(), "demo-box") == {}
    record = await desk.names.get("demo-box")
    assert record is not None
    assert record.owner == key.fingerprint
    assert record.host_key == key.text


async def test_a_token_is_bound_to_its_first_publisher(database: Database) -> None:
    desk, token, owner = Desk(database), new_token(), Key()
    assert await desk.publish(owner, token) == {}
    assert await desk.publish(Key(), token) == {token: "taken"}
    assert await desk.publish(owner, token) == {}


async def test_a_foreign_or_repinned_alias_is_refused_with_suggestions(
    database: Database,
) -> None:
    desk, owner = Desk(database), Key()
    await desk.publish(owner, "demo-box")
    assert await desk.publish(Key(), "demo-box") == {"demo-box": "taken"}
    rekeyed = Key()
    wish = Publish(
        revision=1,
        instance="i",
        routes=[Route(name=RouteName("demo-box"), kind="alias")],
        host_keys=[rekeyed.text],
    )
    [refusal] = await desk.policy.review(identity(owner), wish)
    assert refusal.code == "host_key_mismatch"
    several = Publish(
        revision=2, instance="i", routes=wish.routes, host_keys=[rekeyed.text, owner.text]
    )
    assert await desk.policy.review(identity(owner), several) == []


async def test_rotating_a_token_takes_its_port_and_the_alias_keeps_its_own(
    database: Database,
) -> None:
    desk, key, token = Desk(database), Key(), new_token()
    await desk.publish(key, token, "demo-box")
    first = await desk.ports.assign(token, HOLDER, SPAN, [])
    alias_port = await desk.ports.assign(RouteName("demo-box"), HOLDER, SPAN, [])
    assert {first, alias_port} <= set(SPAN)
    assert first != alias_port
    fresh = new_token()
    await desk.publish(key, fresh)
    assert await desk.ports.port_of(token) is None
    second = await desk.ports.assign(fresh, HOLDER, SPAN, [])
    assert second not in {first, alias_port}
    await desk.ports.free(RouteName("demo-box"))
    assert await desk.ports.port_of(RouteName("demo-box")) == alias_port


async def test_ports_are_remembered_avoided_and_run_out(database: Database) -> None:
    desk = Desk(database)
    name = RouteName("demo-box")
    port = await desk.ports.assign(name, HOLDER, SPAN, [])
    assert port is not None
    assert await desk.ports.assign(name, HOLDER, SPAN, []) == port
    moved = await desk.ports.assign(name, HOLDER, SPAN, [port])
    assert moved not in {port, None}
    assert await desk.ports.assign(RouteName("second"), HOLDER, SPAN, list(SPAN)) is None
    await desk.ports.assign(RouteName("second"), HOLDER, SPAN, [])
    await desk.ports.assign(RouteName("third"), HOLDER, SPAN, [])
    assert await desk.ports.assign(RouteName("fourth"), HOLDER, SPAN, []) is None


async def test_a_freed_port_rests_as_long_as_possible(database: Database) -> None:
    desk, given = Desk(database), set[int | None]()
    for _ in SPAN:
        token = new_token()
        given.add(await desk.ports.assign(token, HOLDER, SPAN, []))
        desk.clock.now += 1
        await desk.ports.free(token)
    assert given == set(SPAN)


async def test_the_monthly_quota_of_an_account_closes_its_routes(database: Database) -> None:
    desk, key, token = Desk(database), Key(), new_token()
    async with database.write() as connection:
        await accounts.put(connection, accounts.AccountRecord("team", 0.0, max_bytes_per_month=100))
        month = month_of(desk.clock.now)
        await usage.add(connection, month, {"account:team": Usage(60, 39, 1)})
    assert await desk.publish(key, token, account="team") == {}
    async with database.write() as connection:
        await usage.add(connection, month, {"account:team": Usage(1, 0, 0)})
    assert await desk.publish(key, token, account="team") == {token: "quota"}
    desk.clock.now += 32 * 86400
    assert await desk.publish(key, token, account="team") == {}


async def test_who_has_used_up_a_month_is_found_among_many(database: Database) -> None:
    """By the account's own limit, or the relay's where it has none."""
    desk, alone, frugal = Desk(database, Quotas(max_bytes_per_month=50)), Key(), Key()
    month = month_of(desk.clock.now)
    async with database.write() as connection:
        await accounts.put(connection, accounts.AccountRecord("big", 0.0, max_bytes_per_month=100))
        await accounts.put(connection, accounts.AccountRecord("usual", 0.0))
        for _ in range(2):
            await usage.add(
                connection,
                month,
                {
                    "account:big": Usage(30, 15, 1),
                    "account:usual": Usage(20, 5, 1),
                    alone.fingerprint: Usage(25, 0, 0),
                    frugal.fingerprint: Usage(0, 24, 0),
                },
            )
        assert await usage.of(connection, "account:big", month) == Usage(60, 30, 2)
    hosts = [identity(alone), identity(frugal), identity(Key(), "big"), identity(Key(), "usual")]
    assert await desk.policy.spent(hosts) == {"account:usual", alone.fingerprint}
    async with database.write() as connection:
        await usage.add(connection, month, {"account:big": Usage(0, 10, 0)})
    assert await desk.policy.spent(hosts[2:]) == {"account:big", "account:usual"}
    assert await desk.policy.spent([]) == frozenset()
    assert await Desk(database).policy.spent(hosts) == {"account:big"}
    nearly_none = Desk(database, Quotas(max_bytes_per_month=10**20))
    assert await nearly_none.policy.spent(hosts) == {"account:big"}
    assert await nearly_none.policy.spent(hosts[:2]) == frozenset()
    desk.clock.now += 32 * 86400
    assert await desk.policy.spent(hosts) == frozenset()


async def test_the_sessions_of_an_account_are_limited(database: Database) -> None:
    desk, first, second = Desk(database, Quotas(max_sessions=1)), Key(), Key()
    token = new_token()
    desk.live.hosts = [live_host("s1", first, "team")]
    assert await desk.publish(second, token, account="team") == {token: "quota"}
    assert await desk.publish(first, token, account="team") == {}
    assert await desk.publish(second, new_token(), account="other") == {}


async def test_host_keys_must_be_keys(database: Database) -> None:
    desk, key = Desk(database), Key()
    for host_keys in ([], ["nonsense"], [key.text] * 9):
        wish = Publish(revision=1, instance="i", routes=[], host_keys=host_keys)
        with pytest.raises(ProtocolError):
            await desk.policy.review(identity(key), wish)


async def test_secrets_are_not_stored(database: Database) -> None:
    from uptui.relay.store.dump import dump

    desk, token = Desk(database), new_token()
    await desk.publish(Key(), token)
    await desk.ports.assign(token, HOLDER, SPAN, [])
    text = b"".join([line async for line in dump(database)])
    assert token.encode() not in text


async def test_ports_are_limited_by_owner_and_strangers_by_source(database: Database) -> None:
    desk = Desk(database, Quotas(max_ports=2, max_ports_per_source=3), open_hosting=True)

    async def ask(owner: str, source: str) -> bool:
        try:
            port = await desk.ports.assign(new_token(), Holder(owner, source), range(100, 200), [])
        except PortQuotaError:
            return False
        return port is not None

    assert [await ask("SHA256:one", "192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [await ask(f"SHA256:{n}", "192.0.2.1") for n in range(2)] == [True, False]
    assert await ask("SHA256:other", "192.0.2.2")
    assert await ask("account:team", "192.0.2.1"), "somebody has vouched for an account"


async def test_a_tokens_port_is_free_soon_after_its_host_has_gone(database: Database) -> None:
    """And not before the hosts of a relay that was away had the time to come back."""
    services = RelayServices(
        ApiSettings(Path("unused")), database, live := Registry(), clock := Clock()
    )
    key, token = Key(), new_token()
    routes = [Route(name=token, kind="token"), Route(name=RouteName("demo-box"), kind="alias")]
    wish = Publish(revision=1, instance="i", routes=routes, host_keys=[key.text])
    await services.policy.review(identity(key), wish)
    for route in routes:
        await services.ports.assign(route.name, HOLDER, SPAN, [])
    live.hosts = [live_host("s1", key, None)]
    clock.now += 3600
    await services.keep_house()
    live.hosts = []
    for passed, kept in ((599, True), (1, False)):
        clock.now += passed
        await services.keep_house()
        assert (await services.ports.port_of(token) is not None) == kept
    assert await services.ports.port_of(RouteName("demo-box")) is not None
    await services.policy.review(identity(key), wish)
    port = await services.ports.assign(token, HOLDER, SPAN, [])
    restarted = RelayServices(services.settings, database, live, clock)
    clock.now += 3600
    restarted.started_at = clock.now
    await restarted.keep_house()
    assert await services.ports.port_of(token) == port
