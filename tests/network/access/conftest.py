"""A share on loopback with its reception and desk, and OpenSSH clients with keys of their own."""

import asyncio
import os
import pty
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from uptui.core.keys import parse_public_key
from uptui.core.share_state import ShareSettings
from uptui.host.controller import Controller
from uptui.host.share_commands import Parts, ShareCommands
from uptui.host.sshd.access_control import StreamOrigin
from uptui.host.sshd.client_services import GuestServices
from uptui.host.sshd.server import SSHHost
from uptui.host.sshd.settings import SSHSettings
from uptui.host.storage.documents import Memory
from uptui.host.storage.event_log import EventLog, read_back
from uptui.host.storage.state_directory import StateDir
from uptui.protocol.host_api import ClientView, LogEntry, Pending
from uptui.protocol.names import Fingerprint, RouteName, Way

HOST = Fingerprint("SHA256:host")
PATIENCE = 60.0
"""Seconds within which anything expected must have happened."""


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds; fails after PATIENCE."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < end, f"timed out waiting for: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Result:
    """How a client ended."""

    status: int
    out: str
    err: str


@dataclass
class Key:
    """A key file of a client."""

    file: Path
    public: str

    @property
    def fingerprint(self) -> Fingerprint:
        return parse_public_key(self.public).fingerprint


@dataclass
class Stand:
    """One daemon's worth of share, listening on loopback like a relay would hand streams over."""

    directory: Path
    settings: ShareSettings
    clock_offset: float = 0.0
    way: Way = "port"
    route: str = "demo-box"
    client_version: str | None = None
    """What the relay says about the client's program."""
    stopped: list[str] = field(default_factory=list[str])
    processes: list[asyncio.subprocess.Process] = field(
        default_factory=list[asyncio.subprocess.Process]
    )

    async def start(self) -> None:
        self.log = EventLog(self.directory / "events.jsonl")
        memory = Memory(StateDir(self.directory / "state"), HOST)
        self.controller = Controller(
            memory.load(self.settings, self.now()), self.log, memory, clock=self.now
        )
        self.controller.hooks.stop = self.stopped.append
        self.desk = ShareCommands(self.controller)
        self.ssh = SSHHost(
            [asyncssh.import_private_key(self.key("host").file.read_text())],
            self.controller,
            SSHSettings(host_name="demo"),
            services=GuestServices,
        )
        await self.ssh.start()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self._tasks = [
            asyncio.create_task(self._accept()),
            asyncio.create_task(self.controller.run()),
        ]

    async def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.controller.close("the share ends")
        await self.ssh.close("the share ends")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.listener.close()
        self.log.close()

    def now(self) -> float:
        return time.time() + self.clock_offset

    async def _accept(self) -> None:
        while True:
            client, address = await asyncio.get_running_loop().sock_accept(self.listener)
            origin = StreamOrigin(
                self.way,
                RouteName(self.route),
                "198.51.100.7",
                address[1],
                client_version=self.client_version,
            )
            self.ssh.accept(client, origin)

    # What people see

    @property
    def parts(self) -> Parts:
        return self.desk.parts()

    async def pending(self, count: int = 1) -> list[Pending]:
        await eventually(lambda: len(self.parts.pending) == count, f"{count} pending")
        return self.parts.pending

    async def clients(self, count: int = 1) -> list[ClientView]:
        await eventually(lambda: len(self.parts.clients) == count, f"{count} clients")
        return self.parts.clients

    def recorded(self, event: str) -> list[LogEntry]:
        assert self.log.flush()
        return [e for e in read_back(self.log.path, 1000) if e.event == event]

    def share_forget(self, key: "Key") -> None:
        """Make a key a stranger again."""
        self.desk.forget_person(key.fingerprint)

    # Clients

    def key(self, name: str = "alice") -> Key:
        file = self.directory / f"key-{name}"
        if not file.exists():
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)]
            subprocess.run(command, check=True)
        return Key(file, " ".join(file.with_name(f"{file.name}.pub").read_text().split()[:2]))

    def options(self, key: Key) -> list[str]:
        return [
            *("-F", "/dev/null", "-i", str(key.file)),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
            *("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=15"),
        ]

    async def spawn(self, *argv: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    async def run(self, *argv: str) -> Result:
        process = await self.spawn(*argv)
        return await finished(process)

    def argv(
        self, key: Key, *command: str, user: str = "alice", flags: tuple[str, ...] = ()
    ) -> list[str]:
        return [
            *("ssh", *self.options(key), *flags, "-p", str(self.port)),
            *("-l", user, "127.0.0.1", *command),
        ]

    def exec(
        self, key: Key, *command: str, user: str = "alice", flags: tuple[str, ...] = ()
    ) -> Coroutine[None, None, Result]:
        """Run `ssh ... command` to its end."""
        return self.run(*self.argv(key, *command, user=user, flags=flags))

    async def terminal(self, key: Key, *command: str, user: str = "alice") -> "TerminalClient":
        """`ssh -tt` on a real terminal."""
        master, slave = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *self.argv(key, *command, user=user, flags=("-tt",)),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.processes.append(process)
        return TerminalClient(process, master)


async def finished(process: asyncio.subprocess.Process) -> Result:
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Result(
        process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    )


class TerminalClient:
    """An ssh client whose terminal we are."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.text = ""
        self._master = master
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._readable)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def shows(self, text: str) -> None:
        await eventually(lambda: text in self.text, f"{text!r} in the terminal: {self.text!r}")

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            status = await self.process.wait()
        self._close()
        return status

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if data:
            self.text += data.decode("utf-8", "replace")
        else:
            asyncio.get_running_loop().remove_reader(self._master)

    def _close(self) -> None:
        self._readable_rest()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    def _readable_rest(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                self.text += data.decode("utf-8", "replace")
        except OSError:
            return


Open = Callable[[ShareSettings], Coroutine[None, None, Stand]]


@pytest.fixture
async def open_stand(tmp_path: Path) -> AsyncIterator[Open]:
    """Make a stand with other settings; called again it is a restart with the same state."""
    opened: list[Stand] = []

    async def make(settings: ShareSettings) -> Stand:
        for old in opened:
            await old.stop()
        opened[:] = [Stand(tmp_path, settings)]
        await opened[0].start()
        return opened[0]

    yield make
    for stand in opened:
        await stand.stop()


@pytest.fixture
async def stand(open_stand: Open) -> Stand:
    """A share called demo-box that asks about unknown keys."""
    return await open_stand(ShareSettings(alias="demo-box"))
