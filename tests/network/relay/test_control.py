"""The control channel: who is let in, who wins, and what breaks it."""

import asyncio
import contextlib
import json
import sqlite3
from dataclasses import replace

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from tests.network.relay.standin import DEADLINE, StandIn, login, open_stream, route
from uptui.protocol import control, stream
from uptui.protocol.names import RouteName, StreamId, new_stream_id, new_token
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings
from uptui.relay.store import engine


async def test_welcome_says_what_the_relay_offers(host: StandIn, relay: Relay) -> None:
    welcome = host.welcome
    assert relay.addresses.ssh is not None
    assert welcome.ways.ssh_port == relay.addresses.ssh.port
    assert (welcome.stream_host, welcome.stream_port) == relay.addresses.http
    assert welcome.version == control.VERSION


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic dTpw"])
async def test_a_stranger_gets_401_and_why(relay: Relay, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(
            f"ws://{relay.addresses.http}{control.PATH}", additional_headers=headers, proxy=None
        )
    response = caught.value.response
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert b"bearer token" in (response.body or b"")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (control.PATH, 401, "unauthorized"),
        (stream.WEBSOCKET_PATH.format(stream_id="a" * 32), 404, "unknown_stream"),
        (stream.CLIENT_PATH.format(name="nobody"), 404, "not_found"),
        ("/v1/nowhere", 404, "not_found"),
    ],
)
async def test_a_refused_websocket_gets_a_problem(
    relay: Relay, path: str, status: int, code: str
) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(f"ws://{relay.addresses.http}{path}", proxy=None)
    response = caught.value.response
    problem = json.loads(response.body or b"")
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:uptui:problem:{code}"


async def test_a_websocket_asked_for_as_a_page_says_so(relay: Relay) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{relay.addresses.http}{control.PATH}")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json()["code"] == "upgrade_required"


async def test_a_store_that_fails_refuses_hosts_for_now(relay: Relay, host: StandIn) -> None:
    bearer = await login(relay.addresses.http, host.key)
    async with relay.services.database.write() as connection:
        await connection.exec_driver_sql("DROP TABLE credentials")
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(
            f"ws://{relay.addresses.http}{control.PATH}",
            additional_headers={"Authorization": f"Bearer {bearer}"},
            proxy=None,
            open_timeout=60,
        )
    assert caught.value.response.status_code == 503
    assert caught.value.response.headers["retry-after"] == "5"


async def test_a_locked_store_refuses_what_is_new_and_leaves_what_stands(
    settings: RelaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 200)
    relay = Relay(settings)
    await relay.start()
    old, gone, new = (new_token() for _ in range(3))
    async with StandIn(relay.addresses.http) as host:
        await host.publish(route(old), route(gone, port=False))
        with contextlib.closing(sqlite3.connect(settings.state_dir / "relay.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            published = await host.publish(route(old), route(new))
        assert [one.name for one in published.granted] == [old]
        assert [(one.name, one.code) for one in published.refused] == [(new, "unavailable")]
        assert "locked by another process" in published.refused[0].message
        serving = relay.broker.registry.serving
        assert [bool(serving(name)) for name in (old, gone, new)] == [True, False, False]
        _, writer = await asyncio.open_connection("127.0.0.1", published.granted[0].port)
        writer.close()
        assert len((await host.publish(route(old), route(new))).granted) == 2
    await relay.close(0)


async def test_a_relay_on_loopback_takes_streams_there(settings: RelaySettings) -> None:
    relay = Relay(replace(settings, public_host="relay.example"))
    addresses = await relay.start()
    async with StandIn(addresses.http) as host:
        assert (host.welcome.stream_host, host.welcome.stream_port) == addresses.http
        assert host.welcome.ways.public_host == "relay.example"
    await relay.close(0)


async def test_ping_is_answered(host: StandIn) -> None:
    await host.send(control.Ping(n=7))
    assert (await host.expect(control.Pong)).n == 7


async def test_the_lease_counts_from_the_first_publish_on(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "HELLO_TIMEOUT", 0.5)
    async with StandIn(relay.addresses.http) as host:
        await host.publish(route(new_token()))
        async with StandIn(relay.addresses.http) as silent, asyncio.timeout(DEADLINE):
            await silent.closed.wait()
        await host.send(control.Ping(n=1))
        assert (await host.expect(control.Pong)).n == 1


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        ("garbage", "malformed"),
        ('{"type":"dance"}', "dance"),
        ('{"type":"publish","revision":"x"}', "revision"),
        ('{"type":"ping","n":1,"pad":"' + "x" * control.MAX_MESSAGE_BYTES + '"}', "limit"),
    ],
    ids=["garbage", "unknown", "wrong-type", "too-long"],
)
async def test_nonsense_ends_the_channel_with_the_reason(
    host: StandIn, frame: str, word: str
) -> None:
    await host.send_raw(frame)
    async with asyncio.timeout(DEADLINE):
        await host.closed.wait()
    assert host.goodbye is not None
    assert host.goodbye.reason == "protocol"
    assert word in host.goodbye.message


async def test_a_wrong_name_is_refused_and_the_others_work(host: StandIn) -> None:
    good = new_token()
    bad = route(RouteName("Bad Name"), "alias")
    published = await host.publish(bad, route(good))
    assert [granted.name for granted in published.granted] == [good]
    assert [refusal.code for refusal in published.refused] == ["invalid_name"]


async def test_the_newest_daemon_of_an_identity_wins(relay: Relay, host: StandIn) -> None:
    name = new_token()
    port = await host.port_of(name)
    async with StandIn(relay.addresses.http, host.key) as newer:
        published = await newer.publish(route(name))
        assert published.took_over == "127.0.0.1"
        assert published.granted[0].port == port
        async with asyncio.timeout(DEADLINE):
            await host.closed.wait()
        assert host.goodbye is not None
        assert (host.goodbye.reason, host.goodbye.retry_after) == ("superseded", None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.readexactly(6) == b"hello\n"
        assert len(newer.dials) == 1
        writer.close()


async def test_the_same_daemon_coming_back_is_not_called_a_takeover(
    relay: Relay, host: StandIn
) -> None:
    name = new_token()
    await host.publish(route(name))
    async with StandIn(relay.addresses.http, host.key, instance=host.instance) as again:
        assert (await again.publish(route(name))).took_over is None


async def test_somebody_elses_token_is_taken(relay: Relay, host: StandIn) -> None:
    name = new_token()
    await host.publish(route(name))
    async with StandIn(relay.addresses.http) as stranger:
        published = await stranger.publish(route(name))
    assert [refusal.code for refusal in published.refused] == ["taken"]


async def test_a_dial_that_failed_ends_the_wait_at_once(host: StandIn) -> None:
    host.answer_dials = False
    port = await host.port_of(new_token())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"SSH-2.0-x\r\n")
    async with asyncio.timeout(DEADLINE):
        while not host.dials:
            await asyncio.sleep(0.01)
        await host.send(control.DialFailed(stream_id=host.dials[0].stream_id, reason="test"))
        said = await reader.read()
    assert said.startswith(b"SSH-2.0-uptui\r\n")
    assert b"could not open a stream" in said
    writer.close()


async def test_a_stream_id_works_once(host: StandIn, relay: Relay) -> None:
    port = await host.port_of(new_token())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readexactly(6)
    sock = await open_stream(relay.addresses.http, host.dials[0].stream_id)
    with sock:
        loop = asyncio.get_running_loop()
        try:
            said = await asyncio.wait_for(loop.sock_recv(sock, 100), DEADLINE)
        except ConnectionError:
            said = b""
        assert said == b""
    writer.close()


async def test_an_unknown_websocket_stream_is_404(relay: Relay) -> None:
    path = stream.WEBSOCKET_PATH.format(stream_id=StreamId(new_stream_id()))
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(f"ws://{relay.addresses.http}{path}", proxy=None)
    assert caught.value.response.status_code == 404
