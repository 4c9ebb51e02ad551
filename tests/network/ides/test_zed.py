"""Zed: one master connection, everything else over its control socket."""

import gzip
import json
import os
import select
import sys
from collections.abc import Generator
from pathlib import Path
from secrets import token_hex
from subprocess import CompletedProcess, Popen

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.network.ides.conftest import Origin
from tests.network.ides.desk import WAYS, Desk, alive, desk_of, fetch
from tests.network.ides.vscode import REMOTE
from tests.ports import free_port

BINARY = ".zed_server/zed-remote-server-stable-1.2.3"
HEARTBEAT = 5.0
"""Seconds within which Zed expects an answer to its heartbeat."""


class Zed:
    """One remote project."""

    def __init__(self, desk: Desk, way: str) -> None:
        self.desk = desk
        self.way = way
        self.socket = desk.folder / f"zed-{token_hex(4)}.sock"
        master = ("-N", "-o", "ControlPersist=no", "-o", "ControlMaster=yes")
        self.master = desk.start(*desk.ssh(*master, "-o", f"ControlPath={self.socket}", way))
        assert self.master.stdout is not None
        assert self.master.stdout.read() == b""  # its end tells that the connection stands
        eventually(self.socket.exists, "the control socket is there")
        self.options = ["-o", "ControlMaster=no", "-o", f"ControlPath={self.socket}"]

    def run(self, command: str, *, terminal: bool = False) -> "CompletedProcess[bytes]":
        """A command; without `terminal`, as probes are sent."""
        options = [] if terminal else ["-T"]
        return self.desk.run(*self.desk.ssh(*self.options, self.way, *options, command))

    def ok(self, command: str, *, terminal: bool = True) -> str:
        done = self.run(command, terminal=terminal)
        assert done.returncode == 0, done
        return done.stdout.decode()

    def upload(self, source: Path, target: str) -> None:
        """By sftp, `target` relative to the home directory."""
        argv = ["sftp", "-F", str(self.desk.config), *self.options, "-b", "-", self.way]
        self.desk.ok(*argv, stdin=f"put {source} {target}\n".encode())

    def install(self) -> None:
        packed = self.desk.folder / "zed.gz"
        text = (REMOTE / "zed_server.py").read_text()
        packed.write_bytes(gzip.compress(f"#!{sys.executable} -IS\n{text}".encode()))
        self.ok("cd; mkdir -p .zed_server")
        download = f"{BINARY}-download-{os.getpid()}"
        self.upload(packed, f"{download}.gz")
        self.ok(f"cd; sh -c 'gunzip -f {download}.gz && chmod 755 {download} && "
                f"mv {download} {BINARY}'")  # fmt: skip

    def proxy(self, identifier: str) -> "Popen[bytes]":
        command = f"cd; env RUST_LOG=info {BINARY} proxy --identifier {identifier}"
        return self.desk.start(*self.desk.ssh(*self.options, self.way, "-T", command))


def ask(proxy: "Popen[bytes]", data: bytes) -> bytes:
    """The answer to a frame, which must come within the heartbeat."""
    assert proxy.stdin is not None
    assert proxy.stdout is not None
    proxy.stdin.write(len(data).to_bytes(4, "little") + data)
    proxy.stdin.flush()
    ready, _, _ = select.select([proxy.stdout], [], [], HEARTBEAT)
    assert ready
    return proxy.stdout.read(int.from_bytes(proxy.stdout.read(4), "little"))


@pytest.mark.parametrize("way", WAYS)
def test_a_project_is_opened(desk: Desk, way: str) -> None:
    zed = Zed(desk, way)
    assert zed.run("cmd.exe /c ver").returncode == 127
    assert zed.ok("cd; sh -c 'echo $SHELL'", terminal=False).startswith("/")
    assert zed.ok("cd; uname -sm", terminal=False).split() == ["Linux", os.uname().machine]
    (desk.home / BINARY).unlink(missing_ok=True)
    assert zed.run(f"cd; {BINARY} version", terminal=True).returncode != 0
    zed.install()
    assert zed.ok(f"cd; {BINARY} version") == "1.2.3\n"

    proxy = zed.proxy(f"setup-{way}")
    assert proxy.stderr is not None
    started = json.loads(proxy.stderr.readline())["message"]
    assert started.endswith(f"setup-{way} info")
    data = os.urandom(1_000_001)
    assert ask(proxy, data) == data[::-1]
    for frame in (b"", bytes(range(256)), b"\r\n\x03\x04\x11\x13~.", b""):
        assert ask(proxy, frame) == frame[::-1]
    assert [json.loads(proxy.stderr.readline())["message"] for _ in range(5)] == [
        "answered 1000001", "answered 0", "answered 256", "answered 8", "answered 0",
    ]  # fmt: skip

    pid = int(started.split()[4])
    proxy.kill()
    assert ask(zed.proxy(f"again-{way}"), b"ab") == b"ba"
    eventually(lambda: not alive(pid), "the proxy ends with its client")


def test_ports_are_forwarded_over_the_master(desk: Desk, origin: Origin) -> None:
    zed = Zed(desk, "port")
    where = origin.offer("/page", b"content").removeprefix("http://").removesuffix("/page")
    local = free_port()
    desk.ok(*desk.ssh(*zed.options, "-O", "forward", "-L", f"{local}:{where}", "port"))
    assert fetch(f"http://127.0.0.1:{local}/page") == b"content"


def test_the_end_of_the_master_ends_what_it_carried(desk: Desk) -> None:
    zed = Zed(desk, "port")
    zed.install()
    proxy = zed.proxy("last")
    assert proxy.stderr is not None
    pid = int(json.loads(proxy.stderr.readline())["message"].split()[4])
    zed.master.kill()
    assert proxy.wait(20) == 255
    eventually(lambda: not alive(pid), "the proxy ends with the connection")


@pytest.fixture
def elsewhere(machine: Machine) -> Generator[Desk]:
    """A host whose sessions start in a project's directory instead of the home."""
    project = machine.folder / "project"
    project.mkdir()
    arguments = ("--authorized-keys", machine.key, "--unknown", "deny", "--cwd", str(project))
    with desk_of(machine, *arguments) as desk:
        yield desk


def test_uploads_arrive_where_cd_leads(elsewhere: Desk) -> None:
    zed = Zed(elsewhere, "port")
    assert zed.ok("pwd").strip().endswith("/project")
    zed.install()
    assert zed.ok(f"cd; {BINARY} version") == "1.2.3\n"
