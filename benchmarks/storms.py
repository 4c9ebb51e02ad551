"""A crowd at the relay: many hosts and idle streams, and clients that storm in meanwhile.

Hosts and clients live in this process and speak the real protocol (docs/protocol.md). They come
from many loopback addresses, because the relay limits each source.
"""

import asyncio
import contextlib
import itertools
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.measure import Row, cpu_seconds
from benchmarks.rig import wait_for_port
from tests.ports import free_port
from uptui.protocol import control, stream
from uptui.protocol.login import Origin, Statement
from uptui.protocol.names import new_token
from uptui.protocol.sshsig import sign

HOSTS = 1000
STREAMS = 5000
SOURCES = 40
"""Loopback addresses that hosts and clients come from."""
AT_ONCE = 40
STORM_RATE = 200
"""Clients a second."""
STORM_SECONDS = 10.0
SETTLING_SECONDS = 25.0
"""In which the relay writes its books of the rush: usage of each owner, a full collection."""
IDLE_SECONDS = 20.0
DESCRIPTORS = 30_000
HELLO = b"hello\n"


@dataclass
class Relay:
    """The relay under load."""

    pid: int
    port: int

    @property
    def memory(self) -> float:
        """Resident kilobytes."""
        return psutil.Process(self.pid).memory_info().rss / 1000


@contextlib.contextmanager
def _relay() -> Generator[Relay]:
    first = random.randint(20, 28) * 1000
    http = free_port()
    flags = ["--http", f"127.0.0.1:{http}", "--public-host", "127.0.0.1"]
    flags += ["--ports", f"{first}-{first + HOSTS + 200}"]
    with (
        tempfile.TemporaryDirectory(prefix="uptui-storm-") as folder,
        (Path(folder) / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "uptui", "relay", *flags, "--state", f"{folder}/relay"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for_port(http)
            yield Relay(process.pid, http)
        finally:
            process.kill()


@dataclass
class _Crowd:
    """Hosts that say hello on every stream and keep it open."""

    relay: Relay
    ports: list[int] = field(default_factory=list[int])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _open: list[asyncio.StreamWriter] = field(default_factory=list[asyncio.StreamWriter])

    async def register(self, number: int) -> None:
        """Log a host in, publish one name, and serve it from then on."""
        source = _source(number)
        bearer, public = await self._login(source)
        socket = await connect(
            f"ws://127.0.0.1:{self.relay.port}{control.PATH}",
            additional_headers={"Authorization": f"Bearer {bearer}"},
            ping_interval=None,
            compression=None,
            proxy=None,
            local_addr=(source, 0),
        )
        route = control.Route(name=new_token(), kind="token", port=True)
        wish = control.Publish(
            revision=1, instance=f"i{number}", routes=[route], host_keys=[public]
        )
        await socket.send(control.encode(wish))
        while not isinstance(
            message := control.decode_from_relay(await socket.recv()), control.Published
        ):
            assert isinstance(message, control.Welcome), message
        assert message.granted, message.refused
        port = message.granted[0].port
        assert port is not None
        self.ports.append(port)
        self._spawn(self._serve(socket, source))
        self._spawn(self._ping(socket))

    async def _login(self, source: str) -> tuple[str, str]:
        key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
        public = key.export_public_key().decode().strip()
        transport = httpx.AsyncHTTPTransport(local_address=source)
        url = f"http://127.0.0.1:{self.relay.port}"
        async with httpx.AsyncClient(base_url=url, transport=transport, timeout=60) as client:
            asked = await client.post("/v1/challenges", json={"identity": public})
            challenge = asked.raise_for_status().json()
            said = Statement(challenge["nonce"], Origin.parse(url), b"")
            signature = sign(
                challenge["namespace"],
                said.signed(),
                key.public_data,
                lambda data: key.sign(data, b"ssh-ed25519"),
            )
            proof = {
                "identity": public,
                "nonce": challenge["nonce"],
                "origin": str(said.origin),
                "signature": signature,
            }
            answer = await client.post("/v1/credentials", json=proof)
            return str(answer.raise_for_status().json()["access_token"]), public

    async def _serve(self, socket: ClientConnection, source: str) -> None:
        async for frame in socket:
            message = control.decode_from_relay(frame)
            if isinstance(message, control.Dial):
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", self.relay.port, local_addr=(source, 0)
                )
                writer.write(stream.preamble(message.stream_id) + HELLO)
                self._open.append(writer)

    async def _ping(self, socket: ClientConnection) -> None:
        for n in itertools.count(1):
            await asyncio.sleep(15 + 10 * random.random())
            await socket.send(control.encode(control.Ping(n=n)))

    async def visit(self, number: int) -> tuple[float, asyncio.StreamWriter]:
        """Come in by some host's port: milliseconds to the first byte, and the open stream."""
        start = time.perf_counter()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.ports[number % len(self.ports)], local_addr=(_source(number + 7), 0)
        )
        assert await reader.readexactly(len(HELLO)) == HELLO
        took = 1000 * (time.perf_counter() - start)
        self._open.append(writer)
        return took, writer

    async def leave(self) -> None:
        """End everything at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._open:
            writer.transport.abort()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))


def _source(number: int) -> str:
    return f"127.0.1.{1 + number % SOURCES}"


async def _in_turns(count: int, work: Callable[[int], Coroutine[None, None, object]]) -> None:
    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(work(n) for n in range(start, min(start + AT_ONCE, count))))


async def _storm(crowd: _Crowd) -> list[float]:
    """Milliseconds to the first byte of clients that come at STORM_RATE and leave at once."""

    async def client(number: int) -> float:
        took, writer = await crowd.visit(number)
        writer.transport.abort()
        return took

    clients: list[asyncio.Task[float]] = []
    start = time.perf_counter()
    for number in range(int(STORM_RATE * STORM_SECONDS)):
        await asyncio.sleep(max(0.0, start + number / STORM_RATE - time.perf_counter()))
        clients.append(asyncio.create_task(client(number)))
    return await asyncio.gather(*clients)


async def _measure(relay: Relay) -> list[Row]:
    crowd = _Crowd(relay)
    rows: list[Row] = []
    try:
        empty = relay.memory
        await _in_turns(HOSTS, crowd.register)
        with_hosts = relay.memory
        rows.append(
            _row(f"relay memory per host ({HOSTS})", "KB", 110, (with_hosts - empty) / HOSTS)
        )
        await _in_turns(STREAMS, crowd.visit)
        each = (relay.memory - with_hosts) / STREAMS
        rows.append(_row(f"relay memory per idle stream ({STREAMS})", "KB", 40, each))
        await asyncio.sleep(SETTLING_SECONDS)
        before = cpu_seconds(relay.pid)
        await asyncio.sleep(IDLE_SECONDS)
        share = 100 * (cpu_seconds(relay.pid) - before) / IDLE_SECONDS
        rows.append(Row("relay CPU with all of them idle", "%", None, share, "near zero"))
        took = await _storm(crowd)
        what = f"first byte while {STORM_RATE} clients a second come"
        p99 = statistics.quantiles(took, n=100)[98]
        rows.append(Row(f"{what}, p50", "ms", None, statistics.median(took), ""))
        rows.append(Row(f"{what}, p99", "ms", None, p99, ""))
    finally:
        await crowd.leave()
    return rows


def _row(what: str, unit: str, limit: float, value: float) -> Row:
    return Row(what, unit, None, value, f"<= {limit:g} {unit}")


def storms(_: object) -> Iterator[Row]:
    """The relay's figures under a crowd."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    assert os.sysconf("SC_OPEN_MAX") >= 2 * STREAMS + 2 * HOSTS, "too few descriptors"
    with _relay() as relay:
        yield from asyncio.run(_measure(relay))
