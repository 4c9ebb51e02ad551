"""A background task of the relay that fails: a process of its own ends, a share's relay goes on."""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.network.relay.process import RelayProcess
from tests.network.relay.standin import DEADLINE, StandIn, eventually
from tests.ports import free_range
from uptui.protocol.names import new_token
from uptui.relay.accounts import allowance
from uptui.relay.accounts.admin_token import read_admin_token
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings, SocketAddress

NOWHERE = ("--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0")
OFTEN = 0.2
IMPATIENT = (
    "import sys; from uptui.relay.accounts import allowance; "
    f"allowance.INTERVAL = {OFTEN}; del sys.argv[1:4]; from uptui.__main__ import main; main()"
)
"""The relay as it is, but looking at its accounts more often."""


async def account_of(relay: SocketAddress, state: Path) -> str:
    """The API token of an account that has a limit."""
    admin = {"Authorization": f"Bearer {read_admin_token(state)}"}
    async with httpx.AsyncClient(base_url=f"http://{relay}", trust_env=False) as client:
        team = {"max_bytes_per_month": 10**9}
        (await client.put("/v1/accounts/team", json=team, headers=admin)).raise_for_status()
        wish = {"scopes": ["host"], "account": "team"}
        issued = await client.put("/v1/tokens/laptop", json=wish, headers=admin)
        return str(issued.raise_for_status().json()["secret"])


def limit(state: Path, to: object) -> None:
    """Write this where the limit of the account is: a damage that SQLite does not see."""
    with sqlite3.connect(state / "relay.db", timeout=DEADLINE) as store:
        store.execute("UPDATE accounts SET max_bytes_per_month = ?", (to,))


@dataclass
class Open:
    """A client's session."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def goes_on(self) -> bool:
        self.writer.write(b"still here\n")
        return await asyncio.wait_for(self.reader.readline(), DEADLINE) == b"still here\n"


async def opened(host: StandIn) -> Open:
    where = "127.0.0.1", await host.port_of(new_token())
    session = Open(*await asyncio.open_connection(*where))
    assert await session.reader.readline() == b"hello\n"
    return session


async def failures(relay: SocketAddress) -> float:
    """How often the worker has failed, as Prometheus is told."""
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(f"http://{relay}/metrics")).text.splitlines()
    counted = [line for line in lines if line.startswith('uptui_errors_total{where="allowance"}')]
    return float(counted[0].split()[1]) if counted else 0.0


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[RelayProcess]:
    one = RelayProcess(tmp_path / "r", "log", (sys.executable, "-c", IMPATIENT))
    yield one
    await one.kill()


async def test_a_relay_whose_worker_fails_ends_to_be_restarted(process: RelayProcess) -> None:
    flags = *NOWHERE, "--ports", free_range(), "--drain-timeout", "60s"
    http = (await process.start(*flags)).http
    state = process.folder / "state"
    token = await account_of(http, state)
    async with StandIn(http, join_token=token) as host:
        session = await opened(host)
        limit(state, "many")
        async with asyncio.timeout(DEADLINE):
            while not await failures(http):
                await asyncio.sleep(0.05)
        assert await session.goes_on()
        session.writer.close()
        assert await process.ended() == 1
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line[:1] == "{"]
    told = next(line for line in lines if line["event"] == "worker_failed")
    assert told["worker"] == "allowance"
    assert "TypeError" in told["exception"]
    assert "a background task failed" in process.log.read_text()


async def test_a_relay_that_is_told_to_end_ends_well(process: RelayProcess) -> None:
    await process.start(*NOWHERE)
    process.signal(signal.SIGTERM)
    assert await process.ended() == 0


async def test_the_relay_of_a_share_goes_on(
    settings: RelaySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "INTERVAL", OFTEN)
    relay = Relay(settings)
    http = (await relay.start()).http
    token = await account_of(http, settings.state_dir)
    async with StandIn(http, join_token=token) as host:
        session = await opened(host)
        limit(settings.state_dir, "many")
        async with asyncio.timeout(DEADLINE):
            while await failures(http) < 2:
                await asyncio.sleep(0.05)
        assert await session.goes_on()
        limit(settings.state_dir, 0)
        await eventually(lambda: bool(relay.broker.spent), "the worker works again")
    session.writer.close()
    await relay.close(0.2)
