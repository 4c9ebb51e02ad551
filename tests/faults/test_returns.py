"""All hosts of a relay that was lost come back at once.

The hosts are stand-ins in this process, which shares the machine's processors with the relay, so
the relay alone is faster than the figures.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import psutil
import pytest

from tests.faults.figures import Figures, length
from tests.network.relay.process import RelayProcess
from tests.network.relay.standin import StandIn
from tests.ports import free_port
from uptui.protocol.names import new_token
from uptui.relay.settings import SocketAddress

HOSTS = length(40, 500)
AT_ONCE = 40
"""Hosts of this process that log in at the same time."""
RETURN = 5.0
"""Seconds from the relay's return until all strings work again."""
COST = 25.0
"""Milliseconds of the relay's processor time for one return; it depends on the machine."""


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RelayProcess]:
    one = RelayProcess(tmp_path / "r", "log")
    yield one
    await one.kill()


async def all_of(work: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """So many at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(do: Callable[[], Awaitable[object]]) -> None:
        async with turns:
            await do()

    async with asyncio.TaskGroup() as group:
        for do in work:
            group.create_task(one(do))


async def test_all_hosts_come_back_at_once(relay: RelayProcess, figures: Figures) -> None:
    first = random.randrange(20_000, 28_000, 1000)
    http = SocketAddress("127.0.0.1", free_port())
    flags = ("--http", str(http), "--ssh", "127.0.0.1:0", "--ports", f"{first}-{first + 2 * HOSTS}")
    names = [new_token() for _ in range(HOSTS)]
    hosts = [StandIn(http) for _ in names]
    ports: list[int] = []

    async def come(number: int) -> None:
        await hosts[number].connect()
        ports.append(await hosts[number].port_of(names[number]))

    await relay.start(*flags)
    await all_of([lambda n=n: come(n) for n in range(HOSTS)])
    before, ports[:] = sorted(ports), []
    await relay.kill()
    await all_of([host.vanish for host in hosts])
    hosts[:] = [StandIn(http, key=host.key) for host in hosts]
    await relay.start(*flags)
    assert relay.process is not None
    process = psutil.Process(relay.process.pid)
    used, started = sum(process.cpu_times()[:2]), time.monotonic()
    await all_of([lambda n=n: come(n) for n in range(HOSTS)])
    took = time.monotonic() - started
    cost = 1000 * (sum(process.cpu_times()[:2]) - used) / HOSTS
    assert sorted(ports) == before
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[-1])
    assert await reader.readline() == b"hello\n"
    writer.close()
    await all_of([host.vanish for host in hosts])
    figures.within(f"relay restarted: {HOSTS} hosts are back", took, RETURN)
    figures.held(
        f"relay restarted: its processor time for each return ({cost:.1f} ms)",
        f"<= {COST:g} ms",
        cost <= COST,
    )
