"""A real SSHHost on a loopback port, whose gate lets everybody in with a role that tests change."""

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from uptui.core.access import Arrival, Grant
from uptui.core.roles import DEVELOPER, Role
from uptui.host.sshd.access_control import Guest, StreamOrigin
from uptui.host.sshd.client_services import GuestServices
from uptui.host.sshd.server import SSHHost
from uptui.host.sshd.settings import SSHSettings
from uptui.protocol.host_api import Level
from uptui.protocol.names import ClientId, Screening, new_token


@dataclass
class Note:
    """One call of Gate.note."""

    event: str
    text: str
    level: str
    data: dict[str, object]


class OpenGate:
    """Lets everybody in with `role`."""

    def __init__(self, role: Role = DEVELOPER) -> None:
        self.role = role
        self.guests: list[Guest] = []
        self.notes: list[Note] = []

    def screen(self, arrival: Arrival) -> Screening:
        del arrival
        return "in"

    def knock(self, arrival: Arrival) -> None:
        del arrival

    async def admit(self, arrival: Arrival, guest: Guest) -> Grant:
        del arrival
        self.guests.append(guest)
        return Grant("tester", self.role)

    def wants(self, client_id: ClientId, what: str) -> None:
        """Nobody waits here."""

    def note(
        self, client_id: ClientId, event: str, text: str, *, level: Level = "info", **data: object
    ) -> None:
        del client_id
        self.notes.append(Note(event, text, level, data))

    def left(self, client_id: ClientId, reason: str) -> None:
        """Nobody is missed."""

    def change_role(self, role: Role) -> None:
        """Give everybody connected, and everybody to come, this role."""
        self.role = role
        for guest in self.guests:
            guest.apply(Grant("tester", role))

    def events(self, name: str) -> list[Note]:
        return [note for note in self.notes if note.event == name]


@dataclass
class Result:
    """How a client program ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "replace") + self.err.decode("utf-8", "replace")


@dataclass
class Running:
    """The host under test, and clients set up to reach it as `box`."""

    gate: OpenGate
    port: int
    directory: Path
    key: Path
    config: Path
    env: dict[str, str] = field(default_factory=dict[str, str])

    async def run(
        self, *argv: str | bytes | Path, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> Result:
        """Run a client to its end."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.directory,
            env={**self.env, **(env or {})},
        )
        try:
            out, err = await process.communicate(stdin)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return Result(process.returncode or 0, out, err)

    async def ok(self, *argv: str | bytes | Path, stdin: bytes = b"") -> bytes:
        """Run a client that must succeed; its output."""
        result = await self.run(*argv, stdin=stdin)
        assert result.code == 0, (argv, result)
        return result.out

    def ssh(self, *args: str | Path) -> list[str | Path]:
        return ["ssh", "-F", self.config, *args]

    async def sftp(self, *lines: str) -> Result:
        """Run a batch of OpenSSH's sftp."""
        batch = "".join(f"{line}\n" for line in lines).encode()
        return await self.run("sftp", "-F", self.config, "-b", "-", "box", stdin=batch)

    @contextlib.asynccontextmanager
    async def asyncssh_sftp(self) -> AsyncGenerator[asyncssh.SFTPClient]:
        """A client that shows status codes and messages as they were sent."""
        async with (
            asyncssh.connect(
                "127.0.0.1", self.port, username="someone", client_keys=[str(self.key)],
                known_hosts=None, config=None,
            ) as client,
            client.start_sftp_client() as sftp,
        ):  # fmt: skip
            yield sftp


_CONFIG = """Host box
  HostName 127.0.0.1
  Port {port}
  User someone
  IdentityFile {key}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {known}
  StrictHostKeyChecking yes
  LogLevel ERROR
  ControlPath none
"""


def _new_key(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True
    )
    return path


def _set_up_clients(directory: Path, port: int, host_key: asyncssh.SSHKey) -> tuple[Path, Path]:
    key = _new_key(directory / "id")
    known = directory / "known_hosts"
    public = host_key.export_public_key("openssh").decode()
    known.write_text(f"[127.0.0.1]:{port} {public}")
    config = directory / "ssh_config"
    config.write_text(_CONFIG.format(port=port, key=key, known=known))
    return key, config


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, role: Role = DEVELOPER, settings: SSHSettings | None = None
) -> AsyncGenerator[Running]:
    """An SSHHost with files and forwards, reachable by the clients of `Running`."""
    gate = OpenGate(role)
    host_key = asyncssh.read_private_key(_new_key(directory / "host_key"))
    host = SSHHost([host_key], gate, settings or SSHSettings(), services=GuestServices)
    await host.start()
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port: int = listener.getsockname()[1]

    async def accept() -> None:
        while True:
            sock, peer = await loop.sock_accept(listener)
            host.accept(sock, StreamOrigin("port", new_token(), peer[0], peer[1]))

    accepting = loop.create_task(accept())
    key, config = _set_up_clients(directory, port, host_key)
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8"}
    try:
        yield Running(gate, port, directory, key, config, env)
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listener.close()
        await host.close("the test is over")
