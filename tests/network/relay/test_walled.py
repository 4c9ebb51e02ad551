"""Clients that reach nothing but the HTTP port: WebSockets and CONNECT join a route like a jump."""

import asyncio
import hashlib
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.network.relay.conftest import LOOPBACK
from tests.network.relay.sshhost import Ssh, run, serve_ssh
from tests.network.relay.standin import DEADLINE, StandIn, eventually, route
from uptui.protocol.names import new_token
from uptui.protocol.stream import CLIENT_PATH, PROBE, PROBE_ANSWER, preamble
from uptui.relay.ingress.self_signed import self_made
from uptui.relay.server import Relay
from uptui.relay.settings import RelayLimits, RelaySettings, SocketAddress, Tls

SIZE = 16 * 1024 * 1024


def websocket(address: SocketAddress, name: str) -> connect:
    url = f"ws://{address}{CLIENT_PATH.format(name=name)}"
    return connect(url, proxy=None, ping_interval=None, compression=None, max_size=None)


async def everything(client: ClientConnection) -> bytes:
    """Frames until the empty one, or until the relay closes."""
    answer = bytearray()
    async for frame in client:
        assert isinstance(frame, bytes)
        if not frame:
            break
        answer += frame
    return bytes(answer)


async def tunnel(
    address: SocketAddress, request: bytes, tls: ssl.SSLContext | None = None
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """The head of the answer to `request`, and the connection."""
    reader, writer = await asyncio.open_connection(*address, ssl=tls, limit=1 << 20)
    writer.write(request)
    async with asyncio.timeout(DEADLINE):
        return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_websocket_bytes_go_both_ways_and_half_close_passes(
    relay: Relay, host: StandIn
) -> None:
    name = new_token()
    await host.publish(route(name, port=False))
    async with asyncio.timeout(DEADLINE), websocket(relay.addresses.http, name) as client:
        await client.send(b"data")
        await client.send(b"")
        answer = await everything(client)
    assert answer == b"hello\ndatabye\n"
    dial = host.dials[0]
    assert (dial.name, dial.way, dial.client_host) == (name, "jump", "127.0.0.1")
    await eventually(lambda: relay.broker.pipes.__len__() == 0, "the splice has ended")
    await eventually(lambda: relay_clients(relay) == 0, "the client is counted out")


def relay_clients(relay: Relay) -> int:
    running = relay._running  # pyright: ignore[reportPrivateUsage]
    assert running is not None
    return running.limiter.clients.total


@pytest.mark.parametrize("kind", ["websocket", "connect"])
async def test_many_bytes_arrive_unchanged(relay: Relay, host: StandIn, kind: str) -> None:
    name = new_token()
    await host.publish(route(name, port=False))
    data = os.urandom(SIZE)
    received = bytearray()
    async with asyncio.timeout(60):
        if kind == "websocket":
            async with websocket(relay.addresses.http, name) as client:

                async def send() -> None:
                    for start in range(0, SIZE, 1 << 18):
                        await client.send(data[start : start + (1 << 18)])
                    await client.send(b"")

                sending = asyncio.ensure_future(send())
                received += await everything(client)
                await sending
        else:
            _, reader, writer = await tunnel(
                relay.addresses.http, f"CONNECT {name}:22 HTTP/1.0\r\n\r\n".encode()
            )
            reading = asyncio.ensure_future(reader.read())
            writer.write(data)
            writer.write_eof()
            received += await reading
            writer.close()
    assert hashlib.sha256(received[6:-4]).digest() == hashlib.sha256(data).digest()


async def test_a_name_that_nobody_serves_is_refused_before_the_websocket_opens(
    relay: Relay, host: StandIn
) -> None:
    del host
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(relay.addresses.http, "nobody"):
            pass
    assert refused.value.response.status_code == 404
    assert b"no session called 'nobody' here" in (refused.value.response.body or b"")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT nobody:22 HTTP/1.1\r\n\r\n", b"404"),
        (b"CONNECT example.com:22 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT\r\n\r\n", b"400"),
        (b"CONNECT x:22 HTTP/1.1\r\n" + b"X: y\r\n" * 2000, b"400"),
    ],
)
async def test_connect_goes_nowhere_but_to_sessions(
    relay: Relay, request_: bytes, status: bytes
) -> None:
    head, reader, writer = await tunnel(relay.addresses.http, request_)
    assert head.startswith(b"HTTP/1.1 " + status)
    assert await reader.read()
    writer.close()


async def test_the_limit_for_one_source_counts_both(settings: RelaySettings) -> None:
    relay = Relay(replace(settings, limits=RelayLimits(connections_per_source=1)))
    addresses = await relay.start()
    name = new_token()
    async with StandIn(addresses.http) as host:
        await host.publish(route(name, port=False))
        async with websocket(addresses.http, name) as client:
            assert await client.recv() == b"hello\n"
            with pytest.raises(InvalidStatus, match="503"):
                async with websocket(addresses.http, name):
                    pass
            head, _, writer = await tunnel(
                addresses.http, f"CONNECT {name}:22 HTTP/1.1\r\n\r\n".encode()
            )
            assert b"503" in head.splitlines()[0]
            writer.close()
    await relay.close(0.2)


async def test_a_client_that_vanishes_while_waiting_leaves_nothing(
    relay: Relay, host: StandIn
) -> None:
    host.answer_dials = False
    name = new_token()
    await host.publish(route(name, port=False))
    request = f"CONNECT {name}:22 HTTP/1.1\r\n\r\n".encode()
    _, writer = await asyncio.open_connection(*relay.addresses.http)
    writer.write(request)
    await eventually(lambda: len(host.dials) == 1, "the host was asked")
    writer.transport.abort()
    await eventually(lambda: relay_clients(relay) == 0, "the client is counted out")


@pytest.mark.parametrize("single", [False, True], ids=["http", "single"])
async def test_nc_as_a_proxy_command_brings_ssh_in(tmp_path: Path, single: bool) -> None:
    state = tmp_path / "relay"
    settings = (
        RelaySettings(state, "127.0.0.1", single=LOOPBACK)
        if single
        else RelaySettings(state, "127.0.0.1", http=LOOPBACK)
    )
    relay = Relay(settings)
    addresses = await relay.start()
    async with StandIn(addresses.http) as host:
        server = serve_ssh(host)
        name = new_token()
        await host.publish(route(name))
        ssh = Ssh(tmp_path / "ssh", addresses)
        argv = nc(ssh, addresses.http, name)
        assert await run([*argv, "echo", "ok"]) == (0, b"ok\n", "")
        status, out, err = await run([*argv, "exit", "7"])
        assert (status, out, err) == (7, b"", "oops")
        assert [way for way, _ in server.users] == ["jump", "jump"]
    await relay.close(0.2)


def nc(ssh: Ssh, address: SocketAddress, name: str) -> list[str]:
    config = str(ssh.folder / "config")
    command = f"nc -X connect -x {address} %h %p"
    return ["ssh", "-F", config, "-o", f"ProxyCommand={command}", name]


async def raw_stream_in_tls(address: SocketAddress, trust: ssl.SSLContext) -> None:
    """A host whose stream and a client whose CONNECT are both inside TLS meet."""
    name = new_token()
    async with StandIn(address, trust=trust) as host:
        host.answer_dials = False
        await host.publish(route(name))
        client = asyncio.ensure_future(
            tunnel(address, f"CONNECT {name}:22 HTTP/1.1\r\n\r\n".encode(), trust)
        )
        await eventually(lambda: len(host.dials) == 1, "the host was asked")
        reader, writer = await asyncio.open_connection(*address, ssl=trust)
        writer.write(preamble(host.dials[0].stream_id) + b"from the host")
        _, near, far = await client
        assert await near.readexactly(13) == b"from the host"
        far.write(b"from the client")
        assert await reader.readexactly(15) == b"from the client"
        writer.write(b"last")
        writer.close()
        assert await near.read() == b"last"
        far.close()


async def test_everything_comes_through_tls_on_a_single_port(tmp_path: Path) -> None:
    made = self_made(tmp_path / "relay", "127.0.0.1")
    tls = Tls(made.certificate, made.key, made.sha256)
    relay = Relay(RelaySettings(tmp_path / "relay", "127.0.0.1", single=LOOPBACK, tls=tls))
    addresses = await relay.start()
    trust = ssl.create_default_context(cafile=str(made.certificate))
    reader, writer = await asyncio.open_connection(*addresses.http, ssl=trust)
    writer.write(preamble(PROBE))
    assert await reader.read() == PROBE_ANSWER
    writer.close()
    head, _, writer = await tunnel(addresses.http, b"CONNECT nobody:22 HTTP/1.1\r\n\r\n", trust)
    assert head.startswith(b"HTTP/1.1 404")
    writer.close()
    await relay.close(0.2)


async def test_a_probe_is_answered_and_spends_nothing(relay: Relay) -> None:
    reader, writer = await asyncio.open_connection(*relay.addresses.http)
    writer.write(preamble(PROBE))
    assert await reader.read() == PROBE_ANSWER
    writer.close()
