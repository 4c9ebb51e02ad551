"""An SSH server behind a stand-in host, and the real ssh client that reaches it."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncssh

from tests.network.relay.standin import StandIn, new_key
from uptui.protocol import control
from uptui.relay.settings import RelayAddresses, SocketAddress

CHUNK = 256 * 1024


def blob(size: int) -> bytes:
    """Bytes that do not compress, the same for the same size."""
    return hashlib.shake_128(str(size).encode()).digest(size)


@dataclass
class SshHost:
    """Serves streams with asyncssh; remembers who came."""

    key: asyncssh.SSHKey
    users: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Way and user name of every connection."""
    conns: list[asyncssh.SSHServerConnection] = field(
        default_factory=list[asyncssh.SSHServerConnection]
    )
    rekey_bytes: int = 1 << 30
    refuses: bool = False
    """Nobody gets in."""
    cwd: Path | None = None

    async def __call__(self, dial: control.Dial, sock: socket.socket) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            conn = await asyncssh.run_server(
                sock,
                server_factory=lambda: _Owner(self, dial),
                server_host_keys=[self.key],
                process_factory=self._run,
                sftp_factory=True,
                encoding=None,
                window=4 << 20,
                rekey_bytes=self.rekey_bytes,
            )
            self.conns.append(conn)
            await conn.wait_closed()

    async def _run(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        words = (process.command or "shell").split()
        match words:
            case ["echo", *rest]:
                process.stdout.write(" ".join(rest).encode() + b"\n")
            case ["exit", status]:
                process.stderr.write(b"oops")
                process.exit(int(status))
                return
            case ["get", size]:
                process.stdout.write(blob(int(size)))
            case ["put"]:
                digest = hashlib.sha256()
                while data := await process.stdin.read(CHUNK):
                    digest.update(data)
                process.stdout.write(digest.hexdigest().encode())
            case ["cat"]:
                while data := await process.stdin.read(CHUNK):
                    process.stdout.write(data)
                    await process.stdout.drain()
            case ["wait"]:
                process.stdout.write(b"waiting\n")
                await asyncio.Event().wait()
            case _:
                process.stderr.write(b"what?")
                process.exit(127)
                return
        await process.stdout.drain()
        process.exit(0)


class _Owner(asyncssh.SSHServer):
    def __init__(self, host: SshHost, dial: control.Dial) -> None:
        self._host = host
        self._dial = dial

    def begin_auth(self, username: str) -> bool:
        self._host.users.append((self._dial.way, username))
        return self._host.refuses or self._dial.way != "plain"

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Awaitable[None]]:
        return partial(_forward, dest_host, dest_port)


async def _forward(
    host: str,
    port: int,
    near_in: "asyncssh.SSHReader[bytes]",
    near_out: "asyncssh.SSHWriter[bytes]",
) -> None:
    """Join a channel and a socket. asyncssh's own forwarder now and then leaves the channel open
    when both have ended, and OpenSSH's client then waits for its close."""
    far_in, far_out = await asyncio.open_connection(host, port)

    async def there() -> None:
        while data := await near_in.read(CHUNK):
            far_out.write(data)
        far_out.write_eof()

    async def back() -> None:
        while data := await far_in.read(CHUNK):
            near_out.write(data)
        near_out.write_eof()

    with contextlib.closing(far_out), contextlib.closing(near_out):
        await asyncio.gather(there(), back())


@dataclass
class Ssh:
    """The real OpenSSH client, with a key and a configuration of its own."""

    folder: Path
    addresses: RelayAddresses

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = new_key()
        handle = os.open(self.folder / "key", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(self.key.export_private_key())
        (self.folder / "config").write_text(
            f"Host *\n  IdentityFile {self.folder}/key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking accept-new\n  BatchMode yes\n"
        )

    def argv(self, way: control.Way, name: str, port: int | None) -> list[str]:
        """What reaches `name` by this way."""
        base = ["ssh", "-F", str(self.folder / "config")]
        gateway = self.addresses.ssh
        assert gateway is not None
        if way == "port":
            return [*base, "-p", str(port), f"{name}@127.0.0.1"]
        if way == "plain":
            return [*base, "-p", str(gateway.port), f"{name}@{gateway.host}"]
        jump = " ".join([*base, "-p", str(gateway.port), "-W", "%h:%p", f"jump@{gateway.host}"])
        return [*base, "-o", f"ProxyCommand={jump}", name]


async def run(
    argv: Sequence[str], stdin: bytes = b"", seconds: float = 60.0
) -> tuple[int, bytes, str]:
    """Exit status, stdout and stderr of a program."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(stdin)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    lines = err.decode().splitlines(keepends=True)
    said = "".join(line for line in lines if not line.startswith("Warning: Permanently added"))
    return process.returncode, out, said


def serve_ssh(host: StandIn) -> SshHost:
    """Make a stand-in serve SSH with its own key."""
    server = SshHost(host.key)
    host.serve = server
    return server


__all__ = ["SocketAddress", "Ssh", "SshHost", "blob", "run", "serve_ssh"]
