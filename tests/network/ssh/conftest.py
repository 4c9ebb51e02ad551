"""An SSH server on a loopback port, a Gate that tests steer, and OpenSSH's client against both."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from uptui.core.roles import DEVELOPER
from uptui.host.sshd.access_control import Arrival, Grant, Guest, StreamOrigin
from uptui.host.sshd.server import SSHHost
from uptui.host.sshd.services import ServicesFactory
from uptui.host.sshd.sessions.attachments import Terminals
from uptui.host.sshd.settings import SSHSettings
from uptui.protocol.host_api import Level
from uptui.protocol.names import ClientId, RouteName, Screening

TIMEOUT = 40.0


async def until(condition: Callable[[], bool], timeout: float = 15.0) -> None:
    """Wait until `condition` holds; fails after `timeout` seconds."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "waited too long"
        await asyncio.sleep(0.01)


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)  # pyright: ignore[reportUnknownMemberType]


def write_key(path: Path, kind: str = "ssh-ed25519") -> None:
    """A new private key in a file that OpenSSH accepts."""
    path.write_bytes(new_key(kind).export_private_key("openssh"))
    path.chmod(0o600)


class SteeredGate:
    """Lets everybody in at once, unless a test says otherwise; keeps what it was told."""

    def __init__(self) -> None:
        self.accepts: Callable[[Arrival], bool] = lambda _: True
        self.decision: asyncio.Future[Grant] | None = None
        """Set: admit waits for it."""
        self.grant = Grant("somebody", DEVELOPER)
        self.arrivals: list[Arrival] = []
        self.guests: list[Guest] = []
        self.asked: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.gone: list[str] = []

    def screen(self, arrival: Arrival) -> Screening:
        return "in" if self.accepts(arrival) else "no"

    def knock(self, arrival: Arrival) -> None:
        del arrival

    async def admit(self, arrival: Arrival, guest: Guest) -> Grant:
        self.arrivals.append(arrival)
        self.guests.append(guest)
        if self.decision is not None:
            return await asyncio.shield(self.decision)
        return self.grant

    def wants(self, client_id: ClientId, what: str) -> None:
        del client_id
        self.asked.append(what)

    def note(
        self, client_id: ClientId, event: str, text: str, *, level: Level = "info", **data: object
    ) -> None:
        del client_id, level, data
        self.notes.append((event, text))

    def left(self, client_id: ClientId, reason: str) -> None:
        del client_id
        self.gone.append(reason)


@dataclass(frozen=True)
class Ran:
    """What a client program did."""

    status: int
    out: bytes
    err: bytes


@dataclass
class Served:
    """A server with its port and its client's files."""

    host: SSHHost
    gate: SteeredGate
    port: int
    directory: Path
    key: Path
    origin: dict[str, object] = field(default_factory=dict[str, object])

    def options(self, *, log: str = "ERROR") -> list[str]:
        values = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "LogLevel": log,
        }
        pairs = [f"-o{name}={value}" for name, value in values.items()]
        return ["-F", "none", "-i", str(self.key), *pairs]

    def command(self, *arguments: str, user: str = "me", log: str = "ERROR") -> list[str]:
        """An ssh command line; `arguments` are options and the remote command after `--`."""
        options = list(arguments[: arguments.index("--")]) if "--" in arguments else []
        remote = arguments[len(options) + 1 :] if "--" in arguments else arguments
        port = ["-p", str(self.port)]
        return ["ssh", *self.options(log=log), *port, *options, f"{user}@127.0.0.1", *remote]

    async def ssh(
        self, *arguments: str, stdin: bytes | None = b"", user: str = "me", log: str = "ERROR"
    ) -> Ran:
        return await run(self.command(*arguments, user=user, log=log), stdin)


async def start(command: list[str], **env: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env},
    )


async def run(command: list[str], stdin: bytes | None = b"", **env: str) -> Ran:
    """Run a client to its end."""
    process = await start(command, **env)
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, out, err)


class Server:
    """Makes Served objects and takes them down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tasks: list[asyncio.Task[None]] = []
        self._hosts: list[SSHHost] = []

    async def serve(
        self,
        settings: SSHSettings | None = None,
        *,
        terminals: Terminals | None = None,
        services: ServicesFactory | None = None,
        base_env: dict[str, str] | None = None,
        host_keys: list[asyncssh.SSHKey] | None = None,
        origin: Callable[[tuple[str, int]], StreamOrigin] | None = None,
        pair: bool = False,
    ) -> Served:
        """Serve on a free port; `pair` feeds the server through a pair of Unix sockets."""
        key = self.directory / "id"
        if not key.exists():
            write_key(key)
        gate = SteeredGate()
        keys = host_keys or [new_key()]
        env = {"HOME": str(self.directory), "PATH": os.environ["PATH"]} | (base_env or {})
        host = SSHHost(keys, gate, settings or SSHSettings(), terminals, services, env)
        await host.start()
        self._hosts.append(host)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        port = listener.getsockname()[1]
        task = asyncio.create_task(_accept(listener, host, origin or _origin, pair))
        self._tasks.append(task)
        return Served(host, gate, port, self.directory, key)

    async def stop(self) -> None:
        for host in self._hosts:
            await host.close("the test is over")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _origin(address: tuple[str, int]) -> StreamOrigin:
    return StreamOrigin("port", RouteName("demo"), *address)


async def _accept(
    listener: socket.socket,
    host: SSHHost,
    origin: Callable[[tuple[str, int]], StreamOrigin],
    pair: bool,
) -> None:
    loop = asyncio.get_running_loop()
    with listener:
        while True:
            sock, address = await loop.sock_accept(listener)
            if pair:
                ours, theirs = socket.socketpair()
                await _join(sock, ours)
                sock = theirs
            host.accept(sock, origin(address))


async def _join(left: socket.socket, right: socket.socket) -> None:
    """Copy both ways in the background until either side ends."""
    streams = [await asyncio.open_connection(sock=sock) for sock in (left, right)]

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 18):
            sink.write(data)
            await sink.drain()
        sink.close()

    for one, other in ((0, 1), (1, 0)):
        task = asyncio.create_task(copy(streams[one][0], streams[other][1]))
        _copies.add(task)
        task.add_done_callback(_copies.discard)


_copies: set[asyncio.Task[None]] = set()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Starts SSH servers with other settings than the usual."""
    made = Server(tmp_path)
    yield made
    await made.stop()


@pytest.fixture
async def served(server: Server) -> Served:
    """An SSH server with the usual settings."""
    return await server.serve()
