"""A relay on loopback with a stand-in host."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.network.relay.standin import StandIn
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings, SocketAddress

LOOPBACK = SocketAddress("127.0.0.1", 0)


@pytest.fixture
def settings(tmp_path: Path) -> RelaySettings:
    return RelaySettings(tmp_path / "relay", "127.0.0.1", http=LOOPBACK, ssh=LOOPBACK, ports="auto")


@pytest.fixture
async def relay(settings: RelaySettings) -> AsyncIterator[Relay]:
    relay = Relay(settings)
    await relay.start()
    yield relay
    await relay.close(0.2)


@pytest.fixture
async def host(relay: Relay) -> AsyncIterator[StandIn]:
    async with StandIn(relay.addresses.http) as host:
        yield host
