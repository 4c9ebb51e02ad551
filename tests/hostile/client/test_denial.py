"""Clients that want nobody to be served, from one address, beside people from another."""

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from tests.hostile.honest import beside
from tests.network.people.conftest import Crowd
from tests.network.relay.standin import StandIn, eventually, new_key, route
from tests.ports import free_range
from uptui.host.sshd.settings import SshLimits
from uptui.protocol import control
from uptui.protocol.names import new_token
from uptui.relay.gateway.server import MAX_KEYS
from uptui.relay.settings import RelayLimits, SocketAddress
from uptui.ssh.odd_requests import MIN_DATA_PACKET

STRANGER = ("127.0.0.2", 0)
"""Where the attacks come from; honest people come from 127.0.0.1."""
SOON = 5.0
"""Seconds within which an honest client gets in beside an attack."""
QUICK = 1.0
HASH_PACKETS = 30_000


@dataclass
class Target:
    """A relay of its own process with an honest share on it."""

    crowd: Crowd
    http: SocketAddress
    ssh: SocketAddress
    port: int
    string: str

    async def gets_in(self, who: str = "bob") -> float:
        """Seconds until an honest new client has run a command."""
        started = time.monotonic()
        done = await asyncio.to_thread(self.crowd.as_ssh, who, self.string, "echo", "in")
        assert done.stdout == "in\n", done.stderr
        return time.monotonic() - started

    @property
    def honest(self) -> list[str]:
        return self.crowd.as_argv("alice", self.string)


@pytest.fixture
async def target(crowd: Crowd) -> Target:
    relay = crowd.start(
        *("relay", "--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--json"),
        *("--state", str(crowd.folder / "relay"), "--public-host", "127.0.0.1"),
        *("--ports", free_range()),
        log="relay.log",
    )
    assert relay.stdout is not None
    ready = json.loads(await asyncio.to_thread(relay.stdout.readline))
    _, share = await asyncio.to_thread(
        crowd.host, "--unknown", "accept", "--relay", str(ready["url"])
    )
    string = share["strings"]["ssh"]
    words = string.split()
    http, ssh = (SocketAddress(*_split(ready[name])) for name in ("http", "ssh"))
    return Target(crowd, http, ssh, int(words[words.index("-p") + 1]), string)


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


@contextlib.asynccontextmanager
async def jump(
    target: Target, key: asyncssh.SSHKey | None = None
) -> "AsyncGenerator[asyncssh.SSHClientConnection]":
    """A keyless connection of the attacker's at the gateway."""
    async with asyncssh.connect(
        *target.ssh,
        username="jump",
        known_hosts=None,
        client_keys=[key] if key else None,
        agent_path=None,
        config=None,
        local_addr=STRANGER,
    ) as connection:
        yield connection


async def zeros(_: control.Dial, sock: socket.socket) -> None:
    """A host that sends without end."""
    with contextlib.closing(sock), contextlib.suppress(ConnectionError):
        while True:
            await asyncio.get_running_loop().sock_sendall(sock, bytes(256 * 1024))


class Sink(asyncssh.SSHTCPSession[bytes]):
    """Takes everything that comes, for so long."""

    received = 0

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self.received += len(data)


async def test_tiny_packets_are_refused_and_small_ones_take_turns(target: Target) -> None:
    """One channel with packets of a byte stopped the relay for everybody."""
    async with StandIn(target.http, serve=zeros) as host, jump(target) as attacker:
        name = new_token()
        await host.port_of(name)
        with beside(target.honest) as watch:
            with pytest.raises(asyncssh.ChannelOpenError, match=str(MIN_DATA_PACKET)):
                await attacker.create_connection(
                    Sink, name, 22, window=2**31 - 1, max_pktsize=1, encoding=None
                )
            sink = Sink()
            await attacker.create_connection(
                lambda: sink, name, 22, window=2**31 - 1, max_pktsize=MIN_DATA_PACKET, encoding=None
            )
            await asyncio.sleep(2)
            attacker.abort()
        assert sink.received > 1_000_000
        assert watch.echoes


async def test_waiting_clients_of_one_source_do_not_fill_the_relay(target: Target) -> None:
    """Hosts that do not answer, and jumps that wait for them."""
    async with contextlib.AsyncExitStack() as stack:
        names: list[str] = []
        for _ in range(8):
            host = await stack.enter_async_context(StandIn(target.http, answer_dials=False))
            name = new_token()
            assert not (await host.publish(route(name, port=False))).refused
            names.append(name)
        attackers = [await stack.enter_async_context(jump(target)) for _ in range(8)]
        calls = [
            asyncio.ensure_future(attacker.create_connection(Sink, name, 22, encoding=None))
            for attacker in attackers
            for name in names
            for _ in range(12)
        ]
        done, _ = await asyncio.wait(calls, timeout=2)
        waits = len(calls) - len(done)
        assert waits <= RelayLimits().pending_dials_per_source
        reasons = {str(call.exception()) for call in done}
        assert any("at most 64 jumps" in reason for reason in reasons), reasons
        assert any("too many clients are waiting" in reason for reason in reasons), reasons
        assert await target.gets_in() < SOON
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_crowd_at_a_host_that_does_not_answer_drives_out_itself(target: Target) -> None:
    """Whoever comes from elsewhere to the same host is served."""

    async def greet(_: control.Dial, sock: socket.socket) -> None:
        with contextlib.closing(sock):
            await asyncio.get_running_loop().sock_sendall(sock, b"hello\n")

    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(
            StandIn(target.http, serve=greet, hears=lambda dial: dial.client_host != STRANGER[0])
        )
        name = new_token()
        assert not (await host.publish(route(name, port=False))).refused
        attackers = [await stack.enter_async_context(jump(target)) for _ in range(5)]
        calls = [
            asyncio.ensure_future(attacker.create_connection(Sink, name, 22, encoding=None))
            for attacker in attackers
            for _ in range(60)
        ]
        crowd = RelayLimits().pending_dials_per_host
        await eventually(lambda: len(host.dials) >= crowd, "a crowd at one host")
        async with asyncssh.connect(
            *target.ssh, username="jump", known_hosts=None, client_keys=None, agent_path=None,
            config=None,
        ) as honest:  # fmt: skip
            sink = Sink()
            async with asyncio.timeout(SOON):
                await honest.create_connection(lambda: sink, name, 22, encoding=None)
            await eventually(lambda: sink.received > 0, "the host's greeting")
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_silent_connections_keep_nobody_out(target: Target) -> None:
    """At the share's own port and at the gateway: a flood drives out itself."""
    async with contextlib.AsyncExitStack() as stack:
        for where in (SocketAddress("127.0.0.1", target.port), target.ssh):
            for _ in range(SshLimits().strangers_per_source + 50):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(*where, local_addr=STRANGER)
                    stack.callback(writer.close)
            assert await target.gets_in() < SOON
        jumped = target.crowd.url()["strings"]["ssh-jump"]
        done = await asyncio.to_thread(target.crowd.as_ssh, "bob", jumped, "echo", "in")
        assert done.stdout == "in\n", done.stderr


@pytest.mark.filterwarnings("ignore:Diffie-Hellman")  # what the attacker asks for is old
async def test_a_flood_of_logins_delays_nobody_by_a_second(target: Target) -> None:
    """The dearest key exchange that is offered, from many connections at once."""
    calm = min([await target.gets_in() for _ in range(2)])
    stop = asyncio.Event()
    made = 0

    async def flood(where: SocketAddress) -> None:
        nonlocal made
        while not stop.is_set():
            with contextlib.suppress(OSError, asyncssh.Error):
                async with asyncssh.connect(
                    *where,
                    username="x",
                    known_hosts=None,
                    client_keys=None,
                    agent_path=None,
                    config=None,
                    local_addr=STRANGER,
                    kex_algs=["diffie-hellman-group14-sha256"],
                    public_key_auth=False,
                ):
                    pass
            made += 1

    gateway, port = target.ssh, SocketAddress("127.0.0.1", target.port)
    floods = [asyncio.ensure_future(flood((gateway, port)[n % 2])) for n in range(16)]
    await asyncio.sleep(0.5)
    took = [await target.gets_in() for _ in range(3)]
    stop.set()
    await asyncio.gather(*floods, return_exceptions=True)
    assert made > 10
    assert sorted(took)[1] < calm + QUICK, (calm, took)


async def test_packets_that_say_nothing_end_the_connection(target: Target) -> None:
    for where in (target.ssh, SocketAddress("127.0.0.1", target.port)):
        reader, writer = await asyncio.open_connection(*where, local_addr=STRANGER)
        payload = b"\x02" + struct.pack(">I", 0)
        packet = struct.pack(">IB", 1 + len(payload) + 10, 10) + payload + bytes(10)
        writer.write(b"SSH-2.0-x\r\n" + packet * HASH_PACKETS)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(QUICK * 3):
                while await reader.read(65536):
                    pass
        writer.close()


def test_a_connection_may_show_twenty_keys(crowd: Crowd) -> None:
    """An agent with more is told what to do."""
    string = crowd.share()["strings"]["ssh"]
    keys = [crowd.key_of(f"many{number}") for number in range(MAX_KEYS + 1)]
    program, *rest = crowd.as_argv("many0", string, "true")

    def shown(files: list[Path]) -> "subprocess.CompletedProcess[str]":
        named = [f"-oIdentityFile={file}" for file in files]
        argv = [program, *named, *rest]
        return subprocess.run(argv, capture_output=True, text=True, timeout=40, check=False)

    done = shown(keys)
    assert done.returncode == 255
    assert "Too many authentication failures" in done.stderr
    assert "IdentitiesOnly" in done.stderr
    assert shown([*keys[1:MAX_KEYS], crowd.folder / "key"]).returncode == 0


async def test_an_office_behind_one_address_works(target: Target) -> None:
    """Many hosts and guests that have logged in count as nobody's flood."""
    async with contextlib.AsyncExitStack() as stack:
        hosts = [StandIn(target.http) for _ in range(60)]
        await asyncio.gather(*(stack.enter_async_context(host) for host in hosts))
        for host in hosts:
            assert not (await host.publish(route(new_token(), port=False))).refused
        key = new_key()
        user = target.string.split()[-1].split("@")[0]

        async def guest() -> asyncssh.SSHClientConnection:
            return await asyncssh.connect(
                "127.0.0.1", target.port, username=user, known_hosts=None,
                client_keys=[key], agent_path=None, config=None,
            )  # fmt: skip

        guests = await asyncio.gather(*(guest() for _ in range(200)))
        for one in guests:
            stack.callback(one.abort)
        assert (await guests[-1].run("echo in")).stdout == "in\n"
        assert await target.gets_in() < SOON
