"""Terminals of a host, its SSH server and its API, all real; clients are programs in real ttys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.network.ssh.conftest import Served, Server
from tests.network.terminal.viewers import until
from uptui.host.process.pty import Size
from uptui.host.process.spawn import Program
from uptui.host.sshd.sessions.environment import Environment
from uptui.host.sshd.settings import SSHSettings
from uptui.host.terminals.shared import SharedOptions, SharedTerminal
from uptui.host.terminals.terminals import TerminalService, TerminalSettings

Start = Callable[..., SharedTerminal]


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


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts shared terminals and ends them after the test."""
    terminals: list[SharedTerminal] = []

    def make(what: Program, size: Size | None = None, **options: object) -> SharedTerminal:
        chosen = SharedOptions(**options)  # pyright: ignore[reportArgumentType]
        terminals.append(SharedTerminal(what, size or Size(80, 24), chosen))
        return terminals[-1]

    yield make
    for terminal in terminals:
        terminal.end()
    for terminal in terminals:
        await until(lambda terminal=terminal: terminal.ended, "the program to end")
