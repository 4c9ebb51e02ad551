"""PROXY headers: believed from trusted addresses only, on every port; with a real haproxy too."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.network.relay.haproxy import haproxy
from tests.network.relay.process import RelayProcess
from tests.network.relay.sshhost import Ssh, run, serve_ssh
from tests.network.relay.standin import DEADLINE, StandIn
from tests.ports import free_port
from uptui.errors import ConfigError
from uptui.protocol.names import new_token
from uptui.relay.ingress.proxy_header import V2
from uptui.relay.server import Relay
from uptui.relay.settings import RelayAddresses, RelayLimits, RelaySettings, SocketAddress

V1_LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 22\r\n"


def version_2(command: int = 1, extensions: bytes = b"") -> bytes:
    body = socket.inet_pton(socket.AF_INET6, "2001:db8::9") + socket.inet_pton(
        socket.AF_INET6, "2001:db8::1"
    )
    body += struct.pack(">HH", 40000, 22) + extensions
    return V2 + struct.pack(">BBH", 0x20 | command, 0x21, len(body)) + body


@pytest.fixture
async def behind(settings: RelaySettings) -> AsyncIterator[Relay]:
    """A relay that trusts loopback."""
    relay = Relay(replace(settings, trusted_proxies=("127.0.0.0/8", "::1")))
    await relay.start()
    yield relay
    await relay.close(0.2)


async def say(address: SocketAddress, *pieces: bytes) -> bytes:
    """The first bytes that come back for these pieces, sent one by one; empty when closed."""
    reader, writer = await asyncio.open_connection(*address)
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(DEADLINE):
            answer = await reader.read(4096)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


@pytest.mark.parametrize(
    ("pieces", "source"),
    [
        ([V1_LINE + b"x"], ("203.0.113.9", 40000)),
        ([b"P", b"ROXY TC", V1_LINE[8:20], V1_LINE[20:], b"x"], ("203.0.113.9", 40000)),
        ([b"PROXY TCP6 2001:db8::9 2001:db8::1 1 2\r\nx"], ("2001:db8::9", 1)),
        ([b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\nx"], ("203.0.113.9", 1)),
        ([version_2() + b"x"], ("2001:db8::9", 40000)),
        ([version_2(extensions=bytes(300)) + b"x"], ("2001:db8::9", 40000)),
        ([*(bytes([byte]) for byte in version_2()[:20]), version_2()[20:], b"x"], None),
        ([b"PROXY UNKNOWN\r\nx"], ("127.0.0.1", 0)),
        ([version_2(0) + b"x"], ("127.0.0.1", 0)),
        ([b"SSH-2.0-x\r\n"], ("127.0.0.1", 0)),
        ([], ("127.0.0.1", 0)),
    ],
    ids=["v1", "v1-pieces", "v1-ipv6", "v1-mapped", "v2", "v2-extended", "v2-pieces", "v1-unknown",
         "v2-local", "none", "silent"],
)  # fmt: skip
async def test_a_direct_ports_client_is_who_the_proxy_says(
    behind: Relay, pieces: list[bytes], source: tuple[str, int] | None
) -> None:
    async with StandIn(behind.addresses.http) as host:
        port = await host.port_of(new_token())
        assert (await say(SocketAddress("127.0.0.1", port), *pieces)).startswith(b"hello\n")
        dial = host.dials[0]
        host_name, number = source or ("2001:db8::9", 40000)
        assert dial.client_host == host_name
        assert number in {0, dial.client_port}


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.9 192.0.2.1 40000\r\n",
        b"PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n",
        b"PROXY TCP4 nobody 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 1 65536\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 2\r\n",
        b"PROXY \xff\r\n",
        b"PROXY " + b"x" * 200,
        V2 + b"\x11\x11\x00\x0c" + bytes(12),
        V2 + b"\x21\x11\x00\x03" + bytes(12),
        V2 + b"\x21\x11\xff\xff" + bytes(12),
    ],
)
async def test_malformed_headers_close_the_connection(behind: Relay, header: bytes) -> None:
    assert behind.addresses.ssh is not None
    async with StandIn(behind.addresses.http) as host:
        port = await host.port_of(new_token())
        for where in (port, behind.addresses.ssh.port, behind.addresses.http.port):
            assert await say(SocketAddress("127.0.0.1", where), header) == b""
        assert not host.dials


async def test_a_header_that_does_not_end_is_not_waited_for(settings: RelaySettings) -> None:
    limits = RelayLimits(undecided_timeout=0.3)
    relay = Relay(replace(settings, limits=limits, trusted_proxies=("127.0.0.1",)))
    await relay.start()
    assert await say(relay.addresses.http, V1_LINE[:20]) == b""
    await relay.close(0.2)


async def test_strangers_are_not_believed(relay: Relay) -> None:
    assert relay.addresses.ssh is not None
    assert (await say(relay.addresses.http, V1_LINE + b"\r\n")).startswith(b"HTTP/1.1 400")
    async with StandIn(relay.addresses.http) as host:
        port = await host.port_of(new_token())
        assert (await say(SocketAddress("127.0.0.1", port), V1_LINE)).startswith(b"hello\n")
        assert host.dials[0].client_host == "127.0.0.1"


async def test_the_gateway_and_the_api_learn_the_client(behind: Relay) -> None:
    assert behind.addresses.ssh is not None
    assert (await say(behind.addresses.ssh, V1_LINE)).startswith(b"SSH-2.0-OpenSSH_uptui")
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b" 200 " in await say(behind.addresses.http, request)
    assert b" 401 " in await say(behind.addresses.http, version_2() + request)


async def test_limits_count_clients_and_not_their_proxy(settings: RelaySettings) -> None:
    limits = RelayLimits(connections_per_source=1)
    relay = Relay(replace(settings, limits=limits, trusted_proxies=("127.0.0.1",)))
    await relay.start()
    async with StandIn(relay.addresses.http) as host:
        port = await host.port_of(new_token())
        one = await asyncio.open_connection("127.0.0.1", port)
        two = await asyncio.open_connection("127.0.0.1", port)
        for (reader, writer), last in ((one, b"1"), (two, b"2")):
            writer.write(V1_LINE.replace(b"113.9", b"113." + last))
            assert await asyncio.wait_for(reader.readline(), DEADLINE) == b"hello\n"
        again = V1_LINE.replace(b"113.9", b"113.1")
        assert await say(SocketAddress("127.0.0.1", port), again) == b""
        for _, writer in (one, two):
            writer.close()
    await relay.close(0.2)


async def test_a_proxy_that_is_no_address_is_named(settings: RelaySettings) -> None:
    relay = Relay(replace(settings, trusted_proxies=("proxy.example",)))
    with pytest.raises(ConfigError, match=r"--trusted-proxies: 'proxy\.example'"):
        await relay.start()


HAPROXY = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen direct
  bind 127.0.0.1:{near_direct}
  server relay 127.0.0.1:{direct} send-proxy-v2
listen ssh
  bind 127.0.0.1:{near_ssh}
  server relay 127.0.0.1:{ssh} send-proxy
listen http
  mode http
  option forwardfor
  bind 127.0.0.1:{near_http}
  server relay 127.0.0.1:{http}
"""


async def test_with_a_real_haproxy_in_front(tmp_path: Path) -> None:
    process = RelayProcess(tmp_path / "r", "log")
    first = free_port()
    near = {name: free_port() for name in ("near_direct", "near_ssh", "near_http")}
    addresses = await process.start(
        *("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--ports", f"{first}-{first}"),
        *("--trusted-proxies", "127.0.0.1", "--origin", f"http://127.0.0.1:{near['near_http']}"),
    )
    assert addresses.ssh is not None
    behind = {"direct": first, "ssh": addresses.ssh.port, "http": addresses.http.port}
    try:
        async with haproxy(tmp_path, HAPROXY.format(**near, **behind)):
            await _through(near, addresses.http, tmp_path)
    finally:
        await process.kill()


async def _through(near: dict[str, int], http: SocketAddress, tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                answer = await client.get(f"http://127.0.0.1:{near['near_http']}/healthz")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
            else:
                break
    assert answer.status_code == 200
    async with StandIn(SocketAddress("127.0.0.1", near["near_http"])) as host:
        host.relay = http  # streams are raw and do not pass an HTTP proxy
        serve_ssh(host)
        name = new_token()
        await host.port_of(name)
        through = Ssh(
            tmp_path / "ssh",
            RelayAddresses(http, SocketAddress("127.0.0.1", near["near_ssh"]), None),
        )
        argv = through.argv("port", name, near["near_direct"])
        assert await run([*argv, "echo", "in"]) == (0, b"in\n", "")
        for way in ("jump", "plain"):
            argv = through.argv(way, name, None)  # pyright: ignore[reportArgumentType]
            assert await run([*argv, "echo", "in"]) == (0, b"in\n", "")
        assert {dial.client_host for dial in host.dials} == {"127.0.0.1"}
        clients = {dial.client_port for dial in host.dials}
        assert 0 not in clients
