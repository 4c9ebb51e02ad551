"""One identity that wants every direct port, and honest hosts beside it and after it."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.network.relay.conftest import LOOPBACK, relay
from tests.network.relay.standin import StandIn, route
from uptui.protocol.control import MAX_ROUTES
from uptui.protocol.names import RouteName, new_invite, new_token
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings

__all__ = ["relay"]

PORTS = 100


@pytest.fixture
def settings(tmp_path: Path) -> RelaySettings:
    first = random.randrange(10_000, 30_000)  # the relay leaves out what is in use
    return RelaySettings(
        tmp_path / "relay",
        "127.0.0.1",
        http=LOOPBACK,
        ssh=LOOPBACK,
        ports=(first, first + PORTS - 1),
    )


async def honest(relay: Relay) -> None:
    """A host gets a port for its alias, and a client comes in by it."""
    async with StandIn(relay.addresses.http) as host:
        port = await host.port_of(RouteName(f"box-{id(host)}"), "alias")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readline() == b"hello\n"
        writer.close()


async def test_one_publish_of_every_route_leaves_ports_for_others(relay: Relay) -> None:
    async with StandIn(relay.addresses.http) as greedy:
        wish = greedy.publish(*(route(new_token()) for _ in range(MAX_ROUTES)))
        attack = asyncio.ensure_future(wish)
        await honest(relay)
        published = await attack
        taken = sum(granted.port is not None for granted in published.granted)
        assert len(published.granted) == MAX_ROUTES
        assert taken == relay.services.names.settings.quotas.max_ports
        await honest(relay)
    await honest(relay)


async def test_invites_get_no_port(relay: Relay) -> None:
    async with StandIn(relay.addresses.http) as host:
        published = await host.publish(*(route(new_invite(), "invite") for _ in range(5)))
        assert [granted.port for granted in published.granted] == [None] * 5


async def test_many_identities_of_one_address_leave_ports_for_other_addresses(
    relay: Relay,
) -> None:
    """Strangers that is, on a relay where everybody may host."""
    taken = 0
    hosts = [StandIn(relay.addresses.http) for _ in range(4)]
    try:
        for host in hosts:
            await host.connect()
            published = await host.publish(*(route(new_token()) for _ in range(30)))
            taken += sum(granted.port is not None for granted in published.granted)
    finally:
        for host in hosts:
            await host.vanish()
    assert taken == PORTS * 2 // 3
