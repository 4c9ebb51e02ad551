"""`uptui relay` as its own process, for tests of signals, restarts and load."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.network.relay.standin import DEADLINE
from uptui.relay.settings import RelayAddresses, SocketAddress


class RelayProcess:
    """One process; several may share a state directory."""

    def __init__(self, folder: Path, log: str, under: tuple[str, ...] = ()) -> None:
        """`under` is the command, if any, that runs it."""
        self.folder = folder
        self.under = under
        self.config = folder / "config.toml"
        self.log = folder / log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *flags: str) -> RelayAddresses:
        """Start it with these flags and wait until it serves."""
        self.folder.mkdir(exist_ok=True)
        self.config.touch()
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(
                    *self.under,
                    sys.executable,
                    "-m",
                    "uptui",
                    "relay",
                    "--json",
                    "--public-host",
                    "127.0.0.1",
                ),
                *("--state", str(self.folder / "state"), *flags),
                env={**os.environ, "UPTUI_CONFIG": str(self.config)},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        assert line, self.log.read_text()
        ready = json.loads(line)
        ports = tuple(ready["ports"]) if ready["ports"] else None
        ssh = _address(ready["ssh"]) if ready["ssh"] else None
        return RelayAddresses(_address(ready["http"]), ssh, ports)  # pyright: ignore[reportArgumentType]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, within: float = DEADLINE) -> int:
        """Its exit status, once it has ended by itself."""
        assert self.process is not None
        async with asyncio.timeout(within):
            return await self.process.wait()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def kill(self) -> None:
        if self.running and self.process is not None:
            self.process.kill()
            await self.process.wait()


def _address(text: str) -> SocketAddress:
    host, _, port = text.rpartition(":")
    return SocketAddress(host, int(port))
