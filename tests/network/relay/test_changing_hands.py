"""Aliases that change hands while their hosts publish: only who has lost a name is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
import httpx
import pytest

from tests.network.relay.standin import StandIn, login, new_key, route
from uptui.protocol.control import Withdrawn
from uptui.protocol.names import RouteName
from uptui.relay.accounts.alias_service import AliasService
from uptui.relay.accounts.publishing import PublishPolicy
from uptui.relay.server import Relay

NAME = RouteName("demo-box")
ALIAS = route(NAME, "alias")
Step = Callable[[], Awaitable[Any]]


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


async def ask(relay: Relay, key: asyncssh.SSHKey, method: str, path: str, **body: str) -> int:
    """The status of a call about NAME by the identity of `key`."""
    bearer = await login(relay.addresses.http, key)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.request(
            method,
            f"http://{relay.addresses.http}/v1/aliases/{NAME}{path}",
            json=body or None,
            headers={"authorization": f"Bearer {bearer}"},
        )
    return answer.status_code


def after(
    monkeypatch: pytest.MonkeyPatch, kind: type[object], method: str, step: Step
) -> list[str]:
    """Do `step` once, between a decision of the store and what the relay does about it."""
    original, done = getattr(kind, method), list[str]()

    async def interleaved(*arguments: Any, **named: Any) -> Any:
        outcome = await original(*arguments, **named)
        if not done:
            done.append(method)
            await step()
        return outcome

    monkeypatch.setattr(kind, method, interleaved)
    return done


@pytest.mark.parametrize("how", ["release", "transfer"])
async def test_a_new_owner_keeps_route_and_port_when_the_old_ones_call_ends_late(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    where = relay.addresses.http
    async with StandIn(where) as old, StandIn(where, key=new_key()) as new:
        shared = [public(old.key), public(new.key)]  # one pinned key, as a machine that moved has
        await old.publish(ALIAS, host_keys=shared)
        ports: list[int | None] = []

        async def take() -> None:
            published = await new.publish(ALIAS, host_keys=shared)
            assert not published.refused
            ports.extend(granted.port for granted in published.granted)

        done = after(monkeypatch, AliasService, how, take)
        if how == "release":
            assert await ask(relay, old.key, "DELETE", "") == 204
        else:
            assert await ask(relay, old.key, "POST", "/transfer", to=public(new.key)) == 200
        assert done
        lost = await old.expect(Withdrawn)
        assert (lost.name, lost.reason) == (NAME, "transferred")
        serving = relay.broker.registry.serving(NAME)
        assert serving is not None
        assert serving.identity.fingerprint == new.key.get_fingerprint()
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        assert await reader.readline() == b"hello\n"
        writer.close()


async def test_a_name_that_goes_while_its_host_publishes_is_not_served_by_it(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, heir = relay.addresses.http, new_key()
    async with StandIn(where) as old, StandIn(where, key=heir) as new:

        async def hand_over() -> None:
            assert await ask(relay, old.key, "POST", "/transfer", to=public(heir)) == 200

        assert after(monkeypatch, PublishPolicy, "review", hand_over) == []
        published = await old.publish(ALIAS)
        assert [refusal.code for refusal in published.refused] == ["taken"]
        assert relay.broker.registry.serving(NAME) is None
        taken = await new.publish(ALIAS, host_keys=[public(old.key)])
        assert [granted.name for granted in taken.granted] == [NAME]


@pytest.mark.parametrize("how", ["release", "transfer"])
async def test_a_host_is_told_at_once_that_its_name_is_gone(relay: Relay, how: str) -> None:
    async with StandIn(relay.addresses.http) as host:
        port = await host.port_of(NAME, "alias")
        if how == "release":
            assert await ask(relay, host.key, "DELETE", "") == 204
        else:
            assert await ask(relay, host.key, "POST", "/transfer", to=public(new_key())) == 200
        lost = await host.expect(Withdrawn)
        assert lost.reason == {"release": "released", "transfer": "transferred"}[how]
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
