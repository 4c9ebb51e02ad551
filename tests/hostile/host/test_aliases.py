"""A stranger who wants somebody else's alias off the air."""

import httpx

from tests.network.relay.conftest import relay, settings
from tests.network.relay.standin import StandIn, login, new_key, route
from uptui.protocol.names import RouteName
from uptui.relay.server import Relay

__all__ = ["relay", "settings"]

NAME = RouteName("victim-box")


async def test_only_the_owner_can_transfer_an_alias_even_to_its_owner(relay: Relay) -> None:
    async with StandIn(relay.addresses.http) as victim:
        published = await victim.publish(route(NAME, "alias"))
        assert not published.refused
        key = victim.key.export_public_key().decode().strip()
        for who, expected in ((new_key(), 409), (victim.key, 200)):
            bearer = await login(relay.addresses.http, who)
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.post(
                    f"http://{relay.addresses.http}/v1/aliases/{NAME}/transfer",
                    json={"to": key},
                    headers={"authorization": f"Bearer {bearer}"},
                )
            assert answer.status_code == expected, answer.text
            assert relay.broker.registry.serving(NAME) is not None
