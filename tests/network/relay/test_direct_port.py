"""Direct ports: bytes go through untouched, and the port belongs to the name."""

import asyncio
import contextlib
import hashlib
import os
import socket

import pytest

from tests.network.relay.standin import DEADLINE, StandIn, eventually, route
from uptui.protocol import control
from uptui.protocol.names import RouteName, new_token
from uptui.relay.server import Relay

SIZE = 64 * 1024 * 1024


async def talk(port: int, data: bytes) -> bytes:
    """Everything that comes back for `data`, until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()
    writer.close()
    return answer


async def test_bytes_go_both_ways_and_half_close_passes(host: StandIn) -> None:
    port = await host.port_of(new_token())
    assert await talk(port, b"data") == b"hello\ndatabye\n"


async def test_the_host_learns_who_comes(host: StandIn) -> None:
    name = new_token()
    port = await host.port_of(name)
    await talk(port, b"")
    dial = host.dials[0]
    assert (dial.name, dial.way, dial.client_host) == (name, "port", "127.0.0.1")
    assert dial.client_port > 0
    assert dial.verified_key is None


@pytest.mark.parametrize("over_websocket", [False, True], ids=["tcp", "websocket"])
async def test_64_mb_arrive_unchanged(host: StandIn, over_websocket: bool) -> None:
    host.over_websocket = over_websocket
    port = await host.port_of(new_token())
    data = os.urandom(SIZE)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(send())
        received = group.create_task(reader.read())
    answer = received.result()
    assert len(answer) == SIZE + 10
    assert hashlib.sha256(answer[6:-4]).digest() == hashlib.sha256(data).digest()
    writer.close()


async def test_many_at_once(host: StandIn) -> None:
    port = await host.port_of(new_token())
    texts = [os.urandom(2000) for _ in range(50)]
    answers = await asyncio.gather(*(talk(port, text) for text in texts))
    assert answers == [b"hello\n" + text + b"bye\n" for text in texts]


async def test_a_slow_reader_does_not_fill_the_relay(host: StandIn, relay: Relay) -> None:
    sent = 0

    async def flood(_: control.Dial, sock: socket.socket) -> None:
        nonlocal sent
        writer = (await asyncio.open_connection(sock=sock))[1]
        with contextlib.closing(writer):
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536

    host.serve = flood
    port = await host.port_of(new_token())
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    before = -1
    async with asyncio.timeout(DEADLINE):
        while before != sent or sent == 0:
            before = sent
            await asyncio.sleep(0.3)
    tally = next(iter(relay.broker.tallies.values()))
    assert tally.sent < 64 * 1024 * 1024
    writer.transport.abort()


async def test_unpublishing_closes_the_port_at_once_and_keeps_what_is_open(host: StandIn) -> None:
    port = await host.port_of(new_token())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readexactly(6) == b"hello\n"
    await host.publish(route(new_token()))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"
    writer.close()


async def test_an_alias_keeps_its_port(host: StandIn) -> None:
    name = RouteName("demo-box")
    port = await host.port_of(name, "alias")
    await host.publish()
    assert await host.port_of(name, "alias") == port


async def test_a_host_that_vanishes_ends_its_route_and_its_waiting_clients(
    host: StandIn, relay: Relay
) -> None:
    host.answer_dials = False
    name = new_token()
    port = await host.port_of(name)
    waiting = asyncio.ensure_future(talk(port, b"SSH-2.0-test\r\n"))
    await eventually(lambda: bool(host.dials), "the dial")
    await host.vanish()
    assert b"try again" in await waiting
    await eventually(lambda: relay.broker.registry.serving(name) is None, "the route is gone")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_lost_client_is_told_to_the_host(host: StandIn) -> None:
    ended = asyncio.Event()

    async def wait_end(_: control.Dial, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            writer.write(b"hello\n")
            await reader.read()
        ended.set()

    host.serve = wait_end
    port = await host.port_of(new_token())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readexactly(6)
    writer.transport.abort()
    async with asyncio.timeout(DEADLINE):
        await ended.wait()
