"""Terminals of a host, its SSH server and its API, all real; clients are programs in real ttys."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.network.ssh.conftest import Served, Server
from tests.network.terminal.viewers import until
from uptui.host.ssh.environment import Environment
from uptui.host.ssh.settings import SSHSettings
from uptui.host.terminal.terminals import TerminalService, TerminalSettings


class House:
    """Makes terminal services and the servers in front of them; ends what they run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes: list[tuple[str, str]] = []
        self._services: list[TerminalService] = []
        self._servers = Server(directory)
        self.environment = {"HOME": str(directory), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def terminals(self, **settings: object) -> TerminalService:
        chosen = TerminalSettings(**settings)  # pyright: ignore[reportArgumentType]
        environment = Environment(self._ssh(), self.environment)
        service = TerminalService(chosen, environment, note=self._note)
        self._services.append(service)
        return service

    async def serve(self, terminals: TerminalService) -> Served:
        return await self._servers.serve(
            self._ssh(), terminals=terminals, base_env=self.environment
        )

    async def close(self) -> None:
        await self._servers.stop()
        for service in self._services:
            service.close()
        for service in self._services:
            await until(lambda service=service: not service.snapshot(), "terminals to end")

    def _ssh(self) -> SSHSettings:
        return SSHSettings(shell="/bin/bash")

    def _note(self, event: str, text: str, **data: object) -> None:
        del data
        self.notes.append((event, text))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / ".bash_profile").write_text("PS1='$ '; unset HISTFILE\n")
    made = House(tmp_path)
    yield made
    await made.close()
    await asyncio.sleep(0)
