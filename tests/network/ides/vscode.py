"""Plays VS Code's Remote-SSH: the script on stdin of `ssh -T -D`, and what it downloads."""

import io
import shlex
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from tests.network.ides.desk import Desk, Lines, fetch, pairs
from tests.ports import free_port

REMOTE = Path(__file__).parent / "remote"
CONNECT_TIMEOUT = 15
"""Seconds of remote.SSH.connectTimeout."""
_PADDING = "".join(f"# {number:04} {'.' * 70}\n" for number in range(300))
"""Scripts of Remote-SSH are this long: the shell reads on while its commands run."""


_PROGRAM = '#!/bin/sh\n{python} -IS "$(dirname "$0")/{main}" "$@"\n'
_MAIN = "editor_server.py"


def _archive(files: dict[str, tuple[bytes, int]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, (data, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def program(main: str) -> bytes:
    """An sh script that runs the stand-in server at `main`, seen from its own folder."""
    return _PROGRAM.format(python=shlex.quote(sys.executable), main=main).encode()


def main_program() -> bytes:
    """The stand-in server itself."""
    return (REMOTE / _MAIN).read_bytes()


def server_archive() -> bytes:
    """The server, below one folder, as `bin/code-server`."""
    return _archive({
        "vscode-server-linux-x64/bin/code-server": (program(f"../out/{_MAIN}"), 0o755),
        f"vscode-server-linux-x64/out/{_MAIN}": (main_program(), 0o644),
    })  # fmt: skip


def cli_archive() -> bytes:
    """The command-line program `code`, which is the exec server."""
    return _archive({"code": (program(_MAIN), 0o755), _MAIN: (main_program(), 0o644)})


_SIGN_OF_LIFE = 1
"""Seconds between two blanks of the script, 180 in truth; one that nobody takes ends it."""


@dataclass
class Install:
    """One version of the server, and the script that installs it."""

    url: str
    script: str = "install.sh"
    listen: str = "port"
    commit: str = field(default_factory=lambda: token_hex(20))

    def text(self, ident: str) -> str:
        names = {"UUID": ident, "COMMIT": self.commit, "URL": self.url, "LISTEN": self.listen,
                 "NEW_TOKEN": token_hex(8)}  # fmt: skip
        settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in names.items())
        script = (REMOTE / self.script).read_text()
        return settings + _PADDING + script.replace("sleep 180", f"sleep {_SIGN_OF_LIFE}")

    def folder(self, desk: Desk) -> Path:
        return desk.home / ".vscode-server" / "bin" / self.commit

    def pid(self, desk: Desk) -> int:
        return int((desk.home / ".vscode-server" / f".{self.commit}.pid").read_text())


class Window:
    """An editor's window: its main connection."""

    def __init__(
        self, desk: Desk, host: str, install: Install, *, shell: str = "bash", dynamic: bool = True
    ) -> None:
        self.desk = desk
        self.host = host
        self.install = install
        self.id = token_hex(6)
        self.port = free_port()
        forward = ["-D", str(self.port)] if dynamic else []
        timeout = f"ConnectTimeout={CONNECT_TIMEOUT}"
        self.client = desk.start(*desk.ssh("-T", *forward, "-o", timeout, host, shell))
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        assert self.client.stderr is not None
        self.lines = Lines(self.client.stdout)
        self.errors = Lines(self.client.stderr)
        self.client.stdin.write(install.text(self.id).encode())
        self.client.stdin.flush()

    def opened(self) -> dict[str, str]:
        """Wait for the script's results: from its first line on nothing else may come."""
        assert self.lines.next() == f"{self.id}: running"
        return self.results()

    def results(self) -> dict[str, str]:
        """Wait for the script's results, which must be those of success."""
        self.lines.until(f"{self.id}: start")
        found = pairs(self.lines.until(f"{self.id}: end"))
        assert found["exitCode"] == "0", self.lines.seen[-20:]
        return found

    @property
    def script_pid(self) -> int:
        """Process of the script on the host."""
        told = next(line for line in self.lines.seen if line.startswith("Script executing"))
        return int(told.rpartition(" ")[2])

    def fetch(self, path: str, at: str, body: bytes | None = None) -> bytes:
        """Ask the server at `at` on the host through the SOCKS port."""
        proxy = ["--socks5-hostname", f"127.0.0.1:{self.port}"]
        return fetch(*proxy, f"http://{at}{path}", body=body)

    def vanish(self) -> None:
        """The laptop's lid closes."""
        self.client.kill()
        self.client.wait()
