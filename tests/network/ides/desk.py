"""A developer's machine: an ssh_config with a block for each way to a host, and its clients."""

import collections
import contextlib
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from tests.network.daemon.conftest import Machine

WAYS = ("port", "jump", "plain")
PATIENCE = 40.0

_CONFIG = """
Host port
    HostName {port[host]}
    Port {port[port]}
    User {port[user]}
Host jump
    HostName {jump[target]}
    ProxyJump {jump[user]}@{jump[host]}:{jump[port]}
Host plain
    HostName {plain[host]}
    Port {plain[port]}
    User {plain[user]}
Host *
    IdentityFile {folder}/key
    IdentitiesOnly yes
    IdentityAgent none
    StrictHostKeyChecking accept-new
    UserKnownHostsFile {folder}/known_hosts
    LogLevel ERROR
"""


class Desk:
    """Clients that reach the host of `machine` as `port`, `jump` and `plain`."""

    def __init__(self, machine: Machine, ready: Any) -> None:
        self.machine = machine
        self.folder = machine.folder
        self.ways: Any = ready["ways"]
        self.strings: Any = ready["strings"]
        self.host_key: str = ready["host_key"]
        self.config = self.folder / "config"
        self.config.write_text(_CONFIG.format(folder=self.folder, **self.ways))
        self._started: list[subprocess.Popen[bytes]] = []

    @property
    def home(self) -> Path:
        """HOME of the host's sessions."""
        return self.folder / "home"

    @property
    def key(self) -> Path:
        return self.folder / "key"

    def change_key(self) -> None:
        """Come with another key from now on."""
        for path in (self.key, self.key.with_suffix(".pub")):
            path.unlink()
        new_key(self.key)

    def ssh(self, *arguments: str) -> list[str]:
        return ["ssh", "-F", str(self.config), *arguments]

    def run(
        self, *argv: str, stdin: bytes = b"", **env: str
    ) -> "subprocess.CompletedProcess[bytes]":
        """A client program, to its end."""
        return subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            cwd=self.folder,
            env={**os.environ, **env},
        )

    def ok(self, *argv: str, stdin: bytes = b"", **env: str) -> bytes:
        """A client program that must succeed; its output."""
        done = self.run(*argv, stdin=stdin, **env)
        assert done.returncode == 0, (argv, done)
        return done.stdout

    def start(self, *argv: str, **env: str) -> "subprocess.Popen[bytes]":
        """A client program that goes on until the test ends it."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, **env},
        )
        self._started.append(process)
        return process

    def leave(self) -> None:
        """End every client that was started, and what they left behind on the host."""
        for process in self._started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                assert stream is not None
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._started.clear()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(str(self.home) in word for word in process.cmdline()):
                    process.kill()


@contextlib.contextmanager
def desk_of(machine: Machine, *arguments: str, **env: str) -> Generator[Desk]:
    """A host with a home of its own, and a desk for it."""
    (machine.folder / "home").mkdir()
    surroundings = {"HOME": str(machine.folder / "home"), **env}
    process, ready = machine.host(*arguments, **surroundings)
    assert process.stdout is not None
    threading.Thread(target=collections.deque, args=(process.stdout, 0), daemon=True).start()
    desk = Desk(machine, ready)
    try:
        yield desk
    finally:
        desk.leave()


class Lines:
    """Lines of a stream, each awaited for at most PATIENCE seconds."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.seen: list[str] = []
        self._queue: queue.Queue[bytes] = queue.Queue()
        self._stream = stream
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self._stream:
                self._queue.put(line)
        self._queue.put(b"")

    def next(self) -> str:
        """The next line without its end; raises EOFError after the last."""
        try:
            line = self._queue.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"no more lines after {self.seen}") from None
        if not line:
            raise EOFError(f"ended after {self.seen}")
        text = line.decode().rstrip("\r\n")
        self.seen.append(text)
        return text

    def until(self, wanted: str) -> list[str]:
        """The lines up to the one that is `wanted`, without it."""
        found: list[str] = []
        while (line := self.next()) != wanted:
            found.append(line)
        return found

    def taken(self) -> list[str]:
        """Every line that came so far."""
        with contextlib.suppress(EOFError):
            while not self._queue.empty():
                self.next()
        return self.seen

    def nothing(self) -> bool:
        """Whether no line has come that was not taken."""
        return self._queue.empty()


def new_key(path: Path, kind: str = "ed25519") -> None:
    """A private key at `path`, and its public half beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def fetch(*arguments: str, body: bytes | None = None) -> bytes:
    """What curl gets, asking again while nobody listens yet."""
    data = [] if body is None else ["-H", "Expect:", "--data-binary", "@-"]
    argv = ["curl", "-sS", "--max-time", "20", *data, *arguments]
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(argv, input=body, capture_output=True, check=False)
        if done.returncode != _CANNOT_CONNECT or time.monotonic() > deadline:
            assert done.returncode == 0, done
            return done.stdout
        time.sleep(0.05)


_CANNOT_CONNECT = 7
"""curl's exit status where nobody listens."""


def alive(pid: int) -> bool:
    """Whether process `pid` runs: a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pairs(lines: Sequence[str]) -> dict[str, str]:
    """The results of an install script: lines of `key==value==`."""
    found: dict[str, str] = {}
    for line in lines:
        key, value, rest = line.split("==", 2)
        assert rest == "", line
        found[key] = value
    return found
