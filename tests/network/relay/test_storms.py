"""Floods and idlers: limits hold, what dawdles is shown out, and others still get in."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from tests.network.relay.sshhost import Ssh, run, serve_ssh
from tests.network.relay.standin import DEADLINE, StandIn, eventually, route
from uptui.net.pending_logins import HASTE
from uptui.protocol.names import new_token
from uptui.protocol.stream import PREAMBLE_TIMEOUT
from uptui.relay.accounts.alias_service import NameSettings
from uptui.relay.accounts.quotas import Quotas
from uptui.relay.ingress import http_server
from uptui.relay.server import Relay
from uptui.relay.services import ApiSettings
from uptui.relay.settings import RelayLimits, RelaySettings, SocketAddress
from uptui.relay.tunnel.fair_share import BURST

FLOOD = 400
LEGIT_BOUND = 5.0
"""Seconds within which an honest client gets in while the flood goes on."""
WRITERS: list[asyncio.StreamWriter] = []
"""What the tests have open, closed at their ends."""


@pytest.fixture
async def tight(settings: RelaySettings) -> AsyncIterator[Relay]:
    """A relay with small limits."""
    limits = RelayLimits(
        connections=8, connections_per_source=4, undecided=6, undecided_per_source=3,
        undecided_timeout=1.0, ssh_login_timeout=1.0, pending_dials_per_host=2,
        http=6, http_per_source=3,
    )  # fmt: skip
    relay = Relay(replace(settings, limits=limits, trusted_proxies=("127.0.0.1",)))
    await relay.start()
    yield relay
    while WRITERS:
        WRITERS.pop().close()
    await relay.close(0.2)


async def opened(address: SocketAddress, source: int, data: bytes) -> asyncio.StreamReader:
    """A connection that comes from 203.0.113.`source`, as a trusted proxy says."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"PROXY TCP4 203.0.113.{source} 192.0.2.1 1 2\r\n".encode() + data)
    WRITERS.append(writer)
    return reader


async def ended(reader: asyncio.StreamReader, within: float = DEADLINE) -> bytes:
    """What came until the end of the connection; a reset counts as the end."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(within):
            return await reader.read()
    return b""


async def test_connections_are_limited_per_source_and_in_all(tight: Relay) -> None:
    async with StandIn(tight.addresses.http) as host:
        where = SocketAddress("127.0.0.1", await host.port_of(new_token()))
        for _ in range(4):
            assert await (await opened(where, 1, b"")).readline() == b"hello\n"
        assert await ended(await opened(where, 1, b"")) == b""
        for _ in range(4):
            assert await (await opened(where, 2, b"")).readline() == b"hello\n"
        assert await ended(await opened(where, 3, b"")) == b""
        assert tight._running is not None  # pyright: ignore[reportPrivateUsage]
        assert tight._running.limiter.clients.refused == 2  # pyright: ignore[reportPrivateUsage]


async def test_waiting_clients_of_one_host_are_limited(tight: Relay) -> None:
    async with StandIn(tight.addresses.http, answer_dials=False) as host:
        where = SocketAddress("127.0.0.1", await host.port_of(new_token()))
        for source in (1, 2):
            await opened(where, source, b"")
        await eventually(lambda: len(host.dials) == 2, "two dials")
        assert b"too many clients are waiting" in await ended(await opened(where, 3, b""))


@pytest.mark.parametrize(
    ("port", "dribble", "bound"),
    [
        ("http", b"GET /healthz HTTP/1.1\r\nX: ", http_server.REQUEST_TIMEOUT),
        ("http", b"UPTUI-STREAM/1 ", PREAMBLE_TIMEOUT),
        ("ssh", b"SSH-2.0-slow", 1.0),
    ],
    ids=["http", "stream", "ssh"],
)
async def test_a_slow_loris_is_shown_out(
    tight: Relay, monkeypatch: pytest.MonkeyPatch, port: str, dribble: bytes, bound: float
) -> None:
    if port == "http" and dribble.startswith(b"GET"):
        monkeypatch.setattr(http_server, "REQUEST_TIMEOUT", 1.0)
        bound = 1.0
    address = tight.addresses.http if port == "http" else tight.addresses.ssh
    assert address is not None
    reader, writer = await asyncio.open_connection(*address)
    started = time.monotonic()
    closed = asyncio.ensure_future(ended(reader, bound + 5))
    for byte in dribble * 50:
        if closed.done():
            break
        writer.write(bytes([byte]))
        await asyncio.wait([closed], timeout=0.1)
    await closed
    assert time.monotonic() - started < bound + 2
    writer.close()


async def asked(relay: Relay, source: int) -> tuple[bytes, asyncio.StreamReader]:
    """The status line for a connection that then stays open, idle; empty when it was closed."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reader = await opened(relay.addresses.http, source, request)
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b"", reader
    return head.splitlines()[0], reader


async def test_idle_http_connections_make_room(tight: Relay) -> None:
    """A source fills what it may have, then all is full: its oldest go, and others get in."""
    served = b"HTTP/1.1 200 OK"
    idle = [await asked(tight, 1) for _ in range(3)]
    assert [line for line, _ in idle] == [served] * 3
    assert (await asked(tight, 1))[0] == b""
    assert [(await asked(tight, 2))[0] for _ in range(3)] == [served] * 3
    assert (await asked(tight, 3))[0] == served
    assert not (await ended(idle[0][1])).startswith(b"HTTP")
    await asyncio.sleep(HASTE)
    assert [(await asked(tight, 1))[0] for _ in range(2)] == [served] * 2
    assert not (await ended(idle[1][1])).startswith(b"HTTP")


async def test_an_honest_client_gets_in_during_a_flood(relay: Relay, tmp_path: object) -> None:
    from pathlib import Path

    stop = asyncio.Event()
    made = 0

    async def flood(address: SocketAddress, data: bytes) -> None:
        nonlocal made
        while not stop.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(data)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.2)
                writer.transport.abort()
                made += 1

    async with StandIn(relay.addresses.http) as host:
        serve_ssh(host)
        name = new_token()
        port = await host.port_of(name)
        assert relay.addresses.ssh is not None
        targets = [
            (relay.addresses.http, b"G"),
            (relay.addresses.ssh, b"x\r\n"),
            (SocketAddress("127.0.0.1", port), b"x"),
        ]
        floods = [asyncio.ensure_future(flood(*targets[n % 3])) for n in range(60)]
        await eventually(lambda: made > FLOOD // 2, "the flood")
        ssh = Ssh(Path(str(tmp_path)) / "ssh", relay.addresses)
        started = time.monotonic()
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://{relay.addresses.http}/healthz", timeout=LEGIT_BOUND)
        assert answer.status_code == 200
        assert time.monotonic() - started < LEGIT_BOUND
        assert (await run([*ssh.argv("jump", name, None), "echo", "in"]))[1] == b"in\n"
        stop.set()
        await asyncio.gather(*floods)
    assert made > FLOOD // 2


async def test_a_rate_is_shared_fairly(settings: RelaySettings) -> None:
    """Two sessions that want all get the same, and both together no more than the rate."""
    rate = 2_000_000
    relay = Relay(replace(settings, rate=rate))
    await relay.start()
    async with StandIn(relay.addresses.http) as host:
        names = [new_token(), new_token()]
        published = await host.publish(*(route(name) for name in names))
        got = [0, 0]

        async def take(number: int) -> None:
            port = published.granted[number].port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.transport.set_write_buffer_limits(64 * 1024)

            async def give() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(bytes(32 * 1024))
                        await writer.drain()

            giving = asyncio.ensure_future(give())
            try:
                while data := await reader.read(65536):
                    got[number] += len(data)
            finally:
                giving.cancel()
                writer.transport.abort()

        taking = [asyncio.ensure_future(take(number)) for number in range(2)]
        await eventually(lambda: min(got) > 0, "both have begun")
        before, started = list(got), time.monotonic()
        await asyncio.wait(taking, timeout=4)
        seconds = time.monotonic() - started
        moved = [after - first for after, first in zip(got, before, strict=True)]
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
    await relay.close(0.2)
    assert sum(moved) < rate * (seconds + 4 * BURST) / 2 * 1.3  # each byte goes both ways
    assert sum(moved) > rate * seconds / 2 * 0.4
    assert min(moved) > 0.5 * max(moved), moved


async def greeting(where: SocketAddress) -> bytes:
    """What a client reads until it knows whether it is in."""
    reader, writer = await asyncio.open_connection(*where)
    WRITERS.append(writer)
    first = await asyncio.wait_for(reader.readline(), DEADLINE)
    return first if first == b"hello\n" else first + await ended(reader)


async def test_streams_of_a_host_are_limited(tight: Relay) -> None:
    board = tight.broker
    board.max_streams = 1
    async with StandIn(tight.addresses.http) as host:
        where = SocketAddress("127.0.0.1", await host.port_of(new_token()))
        assert await greeting(where) == b"hello\n"
        assert b"as many clients as the relay allows" in await greeting(where)
        WRITERS[0].transport.abort()
        await eventually(lambda: len(board.pipes) == 0, "the first has ended")
        assert await greeting(where) == b"hello\n"


async def test_bytes_of_a_month_are_limited(settings: RelaySettings) -> None:
    names = NameSettings(quotas=Quotas(max_bytes_per_month=20_000))
    relay = Relay(replace(settings, api=ApiSettings(settings.state_dir, names=names)))
    await relay.start()
    async with StandIn(relay.addresses.http) as host:
        where = SocketAddress("127.0.0.1", await host.port_of(new_token()))
        assert await greeting(where) == b"hello\n"
        await relay.allowance.look()
        assert await greeting(where) == b"hello\n"
        WRITERS[-1].write(bytes(20_000))
        tally = next(iter(relay.broker.tallies.values()))
        await eventually(lambda: tally.sent > 20_000, "the echo")
        await relay.allowance.look()
        assert b"may move in a month" in await greeting(where)
    while WRITERS:
        WRITERS.pop().close()
    await relay.close(0.2)
