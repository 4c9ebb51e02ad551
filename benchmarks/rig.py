"""The machines of a measurement: a real sshd, and a relay with a host behind it, on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port

START_TIMEOUT = 30.0
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class Target:
    """Something that OpenSSH's client can reach."""

    name: str
    host: str
    port: int
    user: str
    options: tuple[str, ...]

    def ssh(self, *command: str, extra: tuple[str, ...] = ()) -> list[str]:
        """The argv of `ssh`; `extra` goes before the destination."""
        where = ["-p", str(self.port), f"{self.user}@{self.host}"]
        return ["ssh", *self.options, *extra, *where, *command]

    def copy(self, program: str, *arguments: str) -> list[str]:
        """The argv of `scp` or `sftp`, whose port flag is `-P`."""
        return [program, *self.options, "-P", str(self.port), *arguments]

    @property
    def remote(self) -> str:
        return f"{self.user}@{self.host}"

    def with_options(self, *options: str) -> "Target":
        return Target(self.name, self.host, self.port, self.user, (*self.options, *options))


@dataclass
class Rig:
    """Every target of one run, and where its processes are."""

    folder: Path
    sshd: Target
    ways: dict[str, Target]
    pids: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def environment(self) -> dict[str, str]:
        """What `uptui` needs to find the host of this run."""
        return environment(self.folder)

    @property
    def targets(self) -> list[Target]:
        """What is compared by default: sshd directly, and the relay's direct port."""
        return [self.sshd, self.ways["port"]]


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _keygen(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path], check=True
    )


def _start_sshd(folder: Path, running: list[subprocess.Popen[bytes]]) -> int:
    port = free_port()
    _keygen(folder / "sshd_key")
    sftp_server = "/usr/lib/openssh/sftp-server"
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/sshd_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/client.pub\nStrictModes no\nUsePAM no\n"
        f"PermitRootLogin yes\nPasswordAuthentication no\nMaxStartups 2000\nMaxSessions 2000\n"
        f"Subsystem sftp {sftp_server}\nSetEnv {_variables(folder)}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    running.append(subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL))
    wait_for_port(port)
    return port


def _variables(folder: Path) -> str:
    """What a shell starts with in our host too: with a locale or a long PATH it takes longer."""
    names = [name for name in os.environ if name in {"PATH", "LANG"} or name.startswith("LC_")]
    values = {name: os.environ[name] for name in names} | {"HOME": f"{folder}/home"}
    return " ".join(f'"{name}={value}"' for name, value in values.items())


def environment(folder: Path) -> dict[str, str]:
    """The variables of every `uptui` of a run."""
    places = {f"UPTUI_{place}_DIR": str(folder / place) for place in ("STATE", "CONFIG", "RUNTIME")}
    return {**os.environ, "HOME": str(folder / "home"), **places}


def _start_uptui(
    folder: Path, running: list[subprocess.Popen[bytes]], host_arguments: tuple[str, ...]
) -> dict[str, Any]:
    http, ssh, first = free_port(), free_port(), free_port()
    uptui = [sys.executable, "-m", "uptui"]
    relay = [*uptui, "relay", "--http", f"127.0.0.1:{http}", "--ssh", f"127.0.0.1:{ssh}"]
    relay += ["--ports", f"{first}-{first + 9}", "--public-host", "127.0.0.1"]
    relay += ["--state", str(folder / "relay")]
    log = (folder / "relay.log").open("wb")
    running.append(subprocess.Popen(relay, env=environment(folder), stdout=log, stderr=log))
    wait_for_port(http)
    host = [*uptui, "host", "--json", "--relay", f"http://127.0.0.1:{http}"]
    host += ["--authorized-keys", str(folder / "client.pub"), "--unknown", "deny", *host_arguments]
    with (folder / "host.log").open("wb") as errors:
        process = subprocess.Popen(
            host, env=environment(folder), stdout=subprocess.PIPE, stderr=errors
        )
    running.append(process)
    assert process.stdout is not None
    ready: dict[str, Any] = json.loads(process.stdout.readline())
    assert ready["event"] == "ready", ready
    return ready


@contextmanager
def rig(*host_arguments: str) -> Generator[Rig]:
    """Start everything in a temporary folder, and end it."""
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="uptui-bench-") as name:
        folder = Path(name)
        (folder / "home").mkdir()  # empty: what a shell reads at its start is not measured
        _keygen(folder / "client")
        options = ("-F", "none", "-i", str(folder / "client"), "-o", "IdentitiesOnly=yes")
        options += ("-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no")
        options += ("-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "LogLevel=ERROR")
        try:
            sshd_port = _start_sshd(folder, running)
            url = _start_uptui(folder, running, host_arguments)
            user = os.environ.get("USER", "root")
            ways = {
                way: Target(way, at["host"], at["port"], at["user"], options)
                for way, at in url["ways"].items()
                if way != "jump"
            }
            names = ["sshd", "relay", "host"]
            pids = dict(zip(names, (process.pid for process in running), strict=True))
            yield Rig(folder, Target("sshd", "127.0.0.1", sshd_port, user, options), ways, pids)
        finally:
            for process in reversed(running):
                process.terminate()
            for process in running:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                if process.stdout is not None:
                    process.stdout.close()
