"""The front door: garbage, strangers who take their time, one port for everything, TLS."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.network.relay.conftest import LOOPBACK
from tests.network.relay.sshhost import Ssh, run, serve_ssh
from tests.network.relay.standin import DEADLINE, StandIn, route
from uptui.errors import ConfigError
from uptui.protocol.names import RouteName, new_token
from uptui.relay.server import Relay
from uptui.relay.settings import RelayLimits, RelaySettings, SocketAddress, Tls


async def raw(address: SocketAddress, data: bytes) -> bytes:
    """What the address answers to `data`; a reset counts as the end."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    answer = b""
    try:
        async with asyncio.timeout(DEADLINE):
            while piece := await reader.read(4096):
                answer += piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answer


async def healthy(address: SocketAddress) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://{address}/healthz")).status_code == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 200,
        b"\x16\x03\x01\x02\x00\x01" + b"\x00" * 50,
        b"UPTUI-STREAM/1 short\n",
        b"UPTUI-STREAM/9 " + b"x" * 200,
        b"GET " + b"/" * 100_000,
    ],
    ids=["zeros", "tls", "short-stream", "other-stream", "long-request"],
)
async def test_garbage_on_the_http_port_ends_that_connection_only(
    relay: Relay, garbage: bytes
) -> None:
    answer = await raw(relay.addresses.http, garbage)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert await healthy(relay.addresses.http)


async def test_a_request_that_is_none_gets_a_problem(relay: Relay) -> None:
    answer = await raw(relay.addresses.http, b"GARBAGE\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "bad_request"


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 10_000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" + b"x" * 100_000],
    ids=["zeros", "http", "broken-ssh"],
)
async def test_garbage_on_the_ssh_port_ends_that_connection_only(
    relay: Relay, garbage: bytes
) -> None:
    assert relay.addresses.ssh is not None
    answer = await raw(relay.addresses.ssh, garbage)
    assert answer.startswith(b"SSH-2.0-OpenSSH_uptui_")
    assert (await raw(relay.addresses.ssh, b"\n")).startswith(b"SSH-2.0-OpenSSH_uptui_")


@pytest.fixture
async def hasty(settings: RelaySettings) -> AsyncIterator[Relay]:
    """A relay without patience."""
    limits = RelayLimits(undecided_timeout=0.2, ssh_login_timeout=0.3, undecided_per_source=3)
    relay = Relay(replace(settings, limits=limits))
    await relay.start()
    yield relay
    await relay.close(0.2)


async def test_silent_strangers_are_shown_out(hasty: Relay) -> None:
    assert hasty.addresses.ssh is not None
    assert await raw(hasty.addresses.http, b"") == b""
    assert (await raw(hasty.addresses.ssh, b"")).startswith(b"SSH-2.0-")


async def test_too_many_undecided_from_one_source_are_refused(hasty: Relay) -> None:
    writers = [(await asyncio.open_connection(*hasty.addresses.http))[1] for _ in range(3)]
    reader, writer = await asyncio.open_connection(*hasty.addresses.http)
    assert await asyncio.wait_for(reader.read(), DEADLINE) == b""
    for one in [*writers, writer]:
        one.close()


async def test_a_port_in_use_is_named(relay: Relay, tmp_path: Path) -> None:
    taken = relay.addresses.http
    second = Relay(RelaySettings(tmp_path / "second", "127.0.0.1", http=taken))
    with pytest.raises(ConfigError, match=rf"--http: cannot listen on {taken}: Address already"):
        await second.start()


async def test_one_port_serves_http_streams_and_ssh(tmp_path: Path) -> None:
    relay = Relay(RelaySettings(tmp_path / "relay", "127.0.0.1", single=LOOPBACK, ports="auto"))
    addresses = await relay.start()
    assert addresses.ssh == addresses.http
    assert await healthy(addresses.http)
    async with StandIn(addresses.http) as host:
        serve_ssh(host)
        name = new_token()
        await host.publish(route(name))
        ssh = Ssh(tmp_path / "ssh", addresses)
        assert (await run([*ssh.argv("plain", name, None), "echo", "ok"]))[1] == b"ok\n"
        assert (await run([*ssh.argv("jump", name, None), "echo", "ok"]))[1] == b"ok\n"
    reader, writer = await asyncio.open_connection(*addresses.http)
    greeting = await asyncio.wait_for(reader.readline(), DEADLINE)
    assert greeting.startswith(b"SSH-2.0-OpenSSH_uptui_")
    writer.close()
    await relay.close(0.2)


async def test_https_with_certificate_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    settings = RelaySettings(
        tmp_path / "relay", "127.0.0.1", http=LOOPBACK, tls=Tls(certificate, key)
    )
    relay = Relay(settings)
    addresses = await relay.start()
    context = ssl.create_default_context(cafile=str(certificate))
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        answer = await client.get(f"https://{addresses.http}/healthz")
        assert answer.status_code == 200
    answer = await raw(addresses.http, b"GET / HTTP/1.1\r\n\r\n")
    assert "HTTPS only" in json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
    await relay.close(0.2)


async def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nonsense")
    (tmp_path / "key.pem").write_text("nonsense")
    files = Tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    relay = Relay(RelaySettings(tmp_path / "relay", "127.0.0.1", http=LOOPBACK, tls=files))
    with pytest.raises(ConfigError, match=r"--tls-cert: .*cert\.pem"):
        await relay.start()


async def test_a_restarted_relay_serves_the_same_addresses(
    tmp_path: Path, settings: RelaySettings
) -> None:
    relay = Relay(settings)
    addresses = await relay.start()
    assert addresses.ssh is not None
    name, alias = new_token(), RouteName("demo-box")
    async with StandIn(addresses.http) as host:
        published = await host.publish(route(name), route(alias, "alias"))
        ports = [granted.port for granted in published.granted]
        await relay.close(0.0)
        await asyncio.wait_for(host.closed.wait(), DEADLINE)
        assert host.goodbye is not None
        assert (host.goodbye.reason, host.goodbye.retry_after) == ("draining", 1.0)
        keys = relay_keys(tmp_path)
        again = Relay(replace(settings, http=addresses.http, ssh=addresses.ssh))
        await again.start()
        async with StandIn(addresses.http, host.key) as back:
            published = await back.publish(route(name), route(alias, "alias"))
            assert [granted.port for granted in published.granted] == ports
        assert relay_keys(tmp_path) == keys
        await again.close(0.0)


def relay_keys(tmp_path: Path) -> bytes:
    path = tmp_path / "relay" / "ssh_host_ed25519_key"
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_bytes()


async def test_closing_lets_open_connections_finish(settings: RelaySettings) -> None:
    relay = Relay(settings)
    addresses = await relay.start()
    async with StandIn(addresses.http) as host:
        port = await host.port_of(new_token())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readexactly(6)
        closing = asyncio.ensure_future(relay.close(DEADLINE))
        await asyncio.wait_for(host.closed.wait(), DEADLINE)
        writer.write(b"the rest")
        writer.write_eof()
        assert await reader.read() == b"the restbye\n"
        writer.close()
        await asyncio.wait_for(closing, DEADLINE)
