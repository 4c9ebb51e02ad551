"""Restarts: SIGTERM drains and says why, SIGHUP reloads, a successor takes over without a gap."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.network.relay.process import RelayProcess
from tests.network.relay.sshhost import Ssh, run, serve_ssh
from tests.network.relay.standin import DEADLINE, StandIn, eventually, new_key, route
from tests.ports import free_range
from uptui.protocol.names import RouteName, new_token
from uptui.relay.settings import RelayAddresses, SocketAddress

WAYS = ("port", "jump", "plain")


@pytest.fixture
async def relays(tmp_path: Path) -> AsyncIterator[list[RelayProcess]]:
    """Two relays with one state directory, not started."""
    both = [RelayProcess(tmp_path / "r", f"log{n}") for n in (1, 2)]
    yield both
    for one in both:
        await one.kill()


async def status(address: SocketAddress, path: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://{address}{path}")).status_code


async def waiting(argv: list[str]) -> asyncio.subprocess.Process:
    """A session that is open until it is killed."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"before ")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        assert await process.stdout.readexactly(7) == b"before "
    return process


async def finish(process: asyncio.subprocess.Process) -> bytes:
    """What the session says to more input, until its end."""
    async with asyncio.timeout(DEADLINE):
        out, _ = await process.communicate(b"after")
    assert process.returncode == 0
    return out


async def test_sigterm_refuses_with_a_reason_and_lets_sessions_end(
    relays: list[RelayProcess], tmp_path: Path
) -> None:
    relay = relays[0]
    flags = ("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--ports", free_range())
    addresses = await relay.start(*flags, "--drain-timeout", "60s")
    name = new_token()
    async with StandIn(addresses.http) as host:
        serve_ssh(host)
        port = await host.port_of(name)
        ssh = Ssh(tmp_path / "ssh", addresses)
        sessions = [await waiting([*ssh.argv(way, name, port), "cat"]) for way in WAYS]
        assert await status(addresses.http, "/readyz") == 200
        relay.signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            await host.closed.wait()
        assert host.goodbye is not None
        assert host.goodbye.reason == "draining"
        assert await status(addresses.http, "/readyz") == 503
        assert await status(addresses.http, "/healthz") == 200
        for way in WAYS:
            code, _, error = await run([*ssh.argv(way, name, port), "echo"])
            assert code == 255
            assert "the relay is restarting" in error, (way, error)
        for session in sessions:
            assert await finish(session) == b"after"
        assert await relay.ended() == 0


async def test_drain_timeout_ends_what_does_not_end_by_itself(
    relays: list[RelayProcess], tmp_path: Path
) -> None:
    relay = relays[0]
    flags = ("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--ports", free_range())
    addresses = await relay.start(*flags, "--drain-timeout", "1s")
    async with StandIn(addresses.http) as host:
        serve_ssh(host)
        name = new_token()
        port = await host.port_of(name)
        ssh = Ssh(tmp_path / "ssh", addresses)
        session = await waiting([*ssh.argv("port", name, port), "cat"])
        relay.signal(signal.SIGTERM)
        assert await relay.ended() == 0
        await session.communicate()
        assert session.returncode == 255


async def test_a_relay_of_a_user_without_a_name_serves_each_way(tmp_path: Path) -> None:
    """Containers run programs under numbers that their /etc/passwd does not know."""
    nameless = (
        *("env", "-u", "LOGNAME", "-u", "USER", "-u", "LNAME", "-u", "USERNAME", "-u", "HOME"),
        *("unshare", "--user", "--map-user=12345", "--map-group=12345"),
    )
    relay = RelayProcess(tmp_path / "r", "log", nameless)
    flags = ("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--ports", free_range())
    try:
        addresses = await relay.start(*flags)
        async with StandIn(addresses.http) as host:
            serve_ssh(host)
            name = new_token()
            ssh = Ssh(tmp_path / "ssh", addresses)
            port = await host.port_of(name)
            for way in WAYS:
                result = await run([*ssh.argv(way, name, port), "echo", "it works"])
                assert result == (0, b"it works\n", "")
    finally:
        await relay.kill()


async def come_back(host: StandIn, addresses: RelayAddresses, name: RouteName) -> int:
    """What a daemon does after a goodbye: a new channel, the same names."""
    async with asyncio.timeout(DEADLINE):
        await host.closed.wait()
    assert host.goodbye is not None
    assert host.goodbye.reason == "draining"
    again = StandIn(addresses.http, host.key, host.serve, instance=host.instance)
    await again.connect()
    return await again.port_of(name)


async def test_a_successor_serves_new_clients_while_the_old_sessions_live(
    relays: list[RelayProcess], tmp_path: Path
) -> None:
    old, new = relays
    ports = free_range()
    addresses = await old.start(
        *("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--ports", ports), "--takeover"
    )
    assert addresses.ssh is not None
    same = ("--http", str(addresses.http), "--ssh", str(addresses.ssh), "--ports", ports)
    async with StandIn(addresses.http, new_key()) as host:
        serve_ssh(host)
        name = new_token()
        port = await host.port_of(name)
        ssh = Ssh(tmp_path / "ssh", addresses)
        sessions = [await waiting([*ssh.argv(way, name, port), "cat"]) for way in WAYS]
        returning = asyncio.ensure_future(come_back(host, addresses, name))
        refused: list[str] = []
        done = asyncio.Event()

        async def hammer(way: str) -> int:
            count = 0
            while not done.is_set() or count < 2:
                code, out, error = await run([*ssh.argv(way, name, port), "echo", "in"])  # pyright: ignore[reportArgumentType]
                count += 1
                if (code, out) != (0, b"in\n"):
                    refused.append(f"{way}: {error}")
            return count

        hammering = asyncio.gather(*(hammer(way) for way in WAYS))
        assert await new.start(*same, "--takeover") == addresses
        assert await returning == port
        assert await status(addresses.http, "/readyz") == 200
        done.set()
        await hammering
        assert refused == []
        assert old.running
        for session in sessions:
            assert await finish(session) == b"after"
        assert await old.ended() == 0
        assert await run([*ssh.argv("port", name, port), "echo", "in"]) == (0, b"in\n", "")


async def test_an_old_relay_goes_on_when_its_successor_fails(
    relays: list[RelayProcess], tmp_path: Path
) -> None:
    old, new = relays
    ports = free_range()
    addresses = await old.start(
        *("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--ports", ports), "--takeover"
    )
    async with StandIn(addresses.http) as host:
        serve_ssh(host)
        name = new_token()
        port = await host.port_of(name)
        wrong = ("--tls-cert", str(tmp_path / "none"), "--tls-key", str(tmp_path / "none"))
        same = ("--http", str(addresses.http), "--ssh", str(addresses.ssh))
        with pytest.raises(AssertionError, match="tls-cert"):
            await new.start(*same, "--takeover", *wrong)
        ssh = Ssh(tmp_path / "ssh", addresses)
        await eventually(lambda: not new.running, "the successor ended")
        assert await run([*ssh.argv("port", name, port), "echo", "in"]) == (0, b"in\n", "")
        assert await status(addresses.http, "/readyz") == 200


async def test_every_line_of_the_log_is_json_even_of_libraries(
    relays: list[RelayProcess],
) -> None:
    relay = relays[0]
    addresses = await relay.start("--http", "127.0.0.1:0", "--ssh", "off")
    reader, writer = await asyncio.open_connection(*addresses.http)
    writer.write(b"GARBAGE\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    await eventually(lambda: "Invalid HTTP" in relay.log.read_text(), "the line of the library")
    lines = relay.log.read_text().splitlines()
    found = [json.loads(line) for line in lines if not line.startswith("uptui relay: ")]
    [entry] = [entry for entry in found if "Invalid HTTP" in entry["event"]]
    assert (entry["level"], entry["logger"]) == ("warning", "uvicorn.error")
    assert entry["timestamp"]


async def test_a_variable_that_no_setting_has_is_named(
    relays: list[RelayProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPTUI_RELAY_HTP", "127.0.0.1:1")
    await relays[0].start("--http", "127.0.0.1:0", "--ssh", "off")
    assert "UPTUI_RELAY_HTP: there is no such setting" in relays[0].log.read_text()


async def test_sighup_reloads_what_can_change(relays: list[RelayProcess]) -> None:
    relay = relays[0]
    addresses = await relay.start("--http", "127.0.0.1:0", "--ssh", "off")
    config = relay.config
    config.write_text('[relay]\nmessage = "maintenance at 18:00"\nlog_level = "ERROR"\n')
    relay.signal(signal.SIGHUP)
    await eventually(lambda: "reloaded" in relay.log.read_text(), "the reload")
    async with StandIn(addresses.http) as host:
        assert host.welcome.message == "maintenance at 18:00"
        assert "for the next start" not in relay.log.read_text()
        assert "host_came" not in relay.log.read_text()
        await host.publish(route(new_token()))
        config.write_text("[relay]\nmessage = 7\n")
        relay.signal(signal.SIGHUP)
        await eventually(lambda: "not reloaded" in relay.log.read_text(), "the refusal")
        config.write_text('[relay]\nhosting = "accounts"\nmessage = "new"\n')
        relay.signal(signal.SIGHUP)
        waits = "reloaded; for the next start: relay.hosting\n"
        await eventually(lambda: waits in relay.log.read_text(), "what has to wait")
    assert await status(addresses.http, "/readyz") == 200


async def test_a_second_relay_on_one_state_is_refused_by_name(
    relays: list[RelayProcess],
) -> None:
    first, second = relays
    await first.start()
    assert first.process is not None
    for flags in ((), ("--takeover",)):
        with pytest.raises(AssertionError, match=f"a relay .pid {first.process.pid}. already uses"):
            await second.start("--http", "127.0.0.1:0", *flags)
    await first.kill()
    await second.start()  # the lock died with its holder
