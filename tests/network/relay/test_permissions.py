"""The table of permissions against the running relay: every operation by every kind of caller."""

import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.network.relay.standin import StandIn, login, new_key, route
from uptui.protocol.names import Fingerprint, RouteName
from uptui.relay.accounts.admin_token import read_admin_token
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.accounts.tokens import digest, new_credential, new_token
from uptui.relay.api.permissions import OPERATIONS, WEBSOCKET, Access
from uptui.relay.server import Relay
from uptui.relay.store import accounts, hosts

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
NOBODY = {"none", "garbage", "expired login", "expired token", "revoked token"}
READERS = {"team reader", "reader", "admin"}
ALL = NOBODY | READERS | {"owner", "stranger", "team writer", "team host", "rival writer"}
OWNERS = {"owner", "stranger", "team writer", "rival writer"}
SERVED = {
    Access.ANYBODY: ALL,
    Access.INSIDER: ALL,
    Access.LOGIN_PROOF: ALL,
    Access.STREAM_ID: ALL,
    Access.WATCHER: {"reader", "admin"},
    Access.HOST: {"owner", "stranger"},
    Access.ALIAS_READER: OWNERS | READERS,
    Access.ALIAS_OWNER: OWNERS,
    Access.ALIAS_KEEPER: OWNERS | {"admin"},
    Access.READER: READERS,
    Access.ADMIN: {"admin"},
}
REMOTE = {"X-Forwarded-For": "192.0.2.1"}
"""Somebody who is not on this machine, for whom metrics are no open book."""


@dataclass
class World:
    """A relay with an alias of an identity, one of an account, and bearers of every kind."""

    relay: Relay
    client: httpx.AsyncClient
    bearers: dict[str, str]
    owner_key: str

    async def ask(
        self, who: str, method: str, path: str, json: object = None, **options: str
    ) -> httpx.Response:
        headers = REMOTE | self.headers(who)
        return await self.client.request(method, path, json=json, headers=headers, params=options)

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.bearers[who]}"} if self.bearers[who] else {}

    async def open(self, who: str, path: str) -> int:
        """The status that a WebSocket is answered with."""
        url = f"ws://{self.relay.addresses.http}{path}"
        try:
            async with connect(url, additional_headers=self.headers(who), proxy=None):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    async def claim(self) -> None:
        await self.ask("owner", "PUT", "/v1/aliases/owner-box", {})
        await self.ask("team writer", "PUT", "/v1/aliases/team-box", {})


async def token(relay: Relay, account: str | None, scope: str, *, ends: float | None = None) -> str:
    secret, name = new_token(), f"{account}-{scope}"[:12].lower() + f"{time.monotonic_ns() % 999}"
    record = accounts.TokenRecord(name, account, frozenset({scope}), "", 0.0, ends)
    async with relay.services.database.write() as connection:
        await accounts.add_token(connection, digest(secret), record)
    return secret


@pytest.fixture
async def world(relay: Relay) -> AsyncIterator[World]:
    services, where = relay.services, relay.addresses.http
    async with services.database.write() as connection:
        for name in ("team", "rival"):
            await accounts.put(connection, accounts.AccountRecord(name, 0.0))
    owner, stranger = new_key(), new_key()
    late, public = new_credential(), owner.export_public_key().decode().strip()
    identity = Identity(Fingerprint(owner.get_fingerprint()), public)
    revoked = await token(relay, None, "admin")
    known = await services.authority.token_of(revoked)
    assert known is not None
    bearers = {
        "none": "",
        "garbage": "upt_nonsense",
        "expired login": late,
        "expired token": await token(relay, None, "admin", ends=1.0),
        "revoked token": revoked,
        "owner": await login(where, owner),
        "stranger": await login(where, stranger),
        "team reader": await token(relay, "team", "read"),
        "team writer": await token(relay, "team", "aliases"),
        "team host": await token(relay, "team", "host"),
        "rival writer": await token(relay, "rival", "aliases"),
        "reader": await token(relay, None, "read"),
        "admin": read_admin_token(relay.settings.state_dir) or "",
    }
    async with services.database.write() as connection:
        await hosts.add_credential(
            connection, digest(late), hosts.CredentialRecord(identity, "open", 1.0)
        )
        await accounts.revoke_token(connection, known.id, 1.0)
    async with httpx.AsyncClient(base_url=f"http://{where}", trust_env=False) as client:
        world = World(relay, client, bearers, public)
        await world.claim()
        yield world


def operations(routes: Iterable[Any]) -> set[tuple[str, str]]:
    """Method and path of everything that the app routes; FastAPI keeps routers inside of it."""
    found: set[tuple[str, str]] = set()
    for one in routes:
        if (router := getattr(one, "original_router", None)) is not None:
            found |= operations(router.routes)
            continue
        methods: set[str] = getattr(one, "methods", None) or {WEBSOCKET}
        found |= {(method, one.path) for method in methods - {"HEAD"}}
    return found


def filled(path: str) -> str:
    for field, value in (
        ("name", "owner-box"),
        ("stream_id", "x" * 32),
        ("token_id", "some-token"),
        ("session_id", "none"),
    ):
        path = path.replace(f"{{{field}}}", value)
    return path


def test_every_operation_has_its_row_and_every_row_an_operation(world: World) -> None:
    assert operations(world.relay.app.router.routes) == set(OPERATIONS)
    assert set(SERVED) == set(Access)
    assert set(world.bearers) == ALL


async def test_every_operation_serves_whom_the_table_says_and_nobody_else(world: World) -> None:
    wrong: list[str] = []
    for (method, path), access in OPERATIONS.items():
        for who in sorted(ALL):
            if method == WEBSOCKET:
                status = await world.open(who, filled(path))
            else:
                status = (await world.ask(who, method, filled(path))).status_code
                await world.claim() if method == "DELETE" else None
            expected = 401 if who in NOBODY else 403
            served = status not in {401, 403} and status < 500
            if served != (who in SERVED[access]) or not (served or status == expected):
                wrong.append(f"{method} {path} by {who}: {status}")
    assert wrong == []


async def test_no_other_method_does_anything(world: World) -> None:
    paths = {path for method, path in OPERATIONS if method != WEBSOCKET}
    for path in sorted(paths | {"/docs", "/redoc", "/v1", "/v1/nowhere"}):
        for method in METHODS:
            if (method, path) not in OPERATIONS:
                answer = await world.ask("admin", method, filled(path))
                assert answer.status_code in {404, 405}, f"{method} {path}: {answer.status_code}"


async def test_an_alias_is_its_owners_and_the_operators_only(world: World) -> None:
    body = {"to": world.owner_key}
    seen = {"owner-box": {"owner", "reader", "admin"}, "team-box": READERS | {"team writer"}}
    kept = {"owner-box": {"owner", "admin"}, "team-box": {"team writer", "admin"}}
    for name, readers in seen.items():
        path = f"/v1/aliases/{name}"
        for who in sorted(ALL - NOBODY - {"team host"}):
            got = await world.ask(who, "GET", path)
            assert got.status_code == (200 if who in readers else 404), (who, name)
        for who in sorted(OWNERS - kept[name]):
            assert (await world.ask(who, "PUT", path, {})).status_code == 409, (who, name)
            assert (await world.ask(who, "DELETE", path)).status_code == 409, (who, name)
            moved = await world.ask(who, "POST", f"{path}/transfer", body)
            assert moved.status_code == 409, (who, name)
        for who in sorted(kept[name]):
            assert (await world.ask(who, "DELETE", path)).status_code == 204, (who, name)
            await world.claim()


async def test_a_token_of_an_account_reads_what_is_the_accounts_own(world: World) -> None:
    """Aliases, hosts, usage and tokens; of others not even that there are any."""
    secret = world.bearers["team host"]
    async with StandIn(world.relay.addresses.http) as other:
        await other.publish(route(RouteName("other-box"), "alias"))
        for path, field, own in (
            ("/v1/sessions", "aliases", []),
            ("/v1/accounts", "name", ["team"]),
            ("/v1/tokens", "account", ["team"] * 3),
        ):
            items = (await world.ask("team reader", "GET", path)).json()["items"]
            assert [item[field] for item in items] == own, path
            everything = (await world.ask("reader", "GET", path)).json()["items"]
            assert len(everything) > len(own), path
    listed = (await world.ask("team reader", "GET", "/v1/aliases")).json()["items"]
    assert [alias["name"] for alias in listed] == ["team-box"]
    for path, query in (("/v1/aliases", {"everybody": "true"}), ("/v1/tokens", {"account": "a"})):
        answer = await world.ask("team reader", "GET", path, **query)
        assert answer.status_code == 403, path
    assert (await world.ask("team reader", "GET", "/v1/accounts", after="team")).json() == {
        "items": [],
        "next": None,
    }
    assert (await world.ask("team reader", "GET", "/v1/sessions")).text.count(secret) == 0


async def test_an_operation_without_a_row_serves_nobody(world: World) -> None:
    async def unlisted(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("secret")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    world.relay.app.router.routes[:0] = [
        Route("/v1/unlisted", unlisted),
        WebSocketRoute("/v1/unlisted", socket),
    ]
    for who in ("none", "owner", "admin"):
        assert (await world.ask(who, "GET", "/v1/unlisted")).status_code == 404
        assert await world.open(who, "/v1/unlisted") == 404


async def test_metrics_are_open_to_this_machine(world: World) -> None:
    assert (await world.client.get("/metrics")).status_code == 200
    assert (await world.client.get("/metrics", headers=REMOTE)).status_code == 401
