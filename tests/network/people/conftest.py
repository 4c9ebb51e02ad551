"""A share with its people: keys by name, ssh in real terminals, and calls of the host API."""

import contextlib
import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.network.daemon.conftest import PATIENCE, Machine, eventually

__all__ = ["Crowd", "Window", "crowd", "eventually"]


class Window:
    """A program in a terminal of its own; `seen` is all that it has shown."""

    def __init__(
        self, argv: list[str], env: dict[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            ["/usr/bin/setsid", "--ctty", "--wait", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**env, "TERM": "xterm-256color"},
        )
        os.close(slave)
        self.raw = b""

    @property
    def seen(self) -> str:
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                break
            if not data:
                break
            self.raw += data
        return self.raw.decode("utf-8", "replace")

    def shows(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} in:\n{self.raw!r}"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def ends(self) -> int:
        """Its exit status, with all it has shown read."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert self.seen is not None
            assert time.monotonic() < deadline, f"still runs:\n{self.raw!r}"
            time.sleep(0.02)
        assert self.seen is not None
        return self.process.returncode

    def lose(self) -> None:
        """The client vanishes without a word."""
        children = subprocess.run(
            ["/usr/bin/pgrep", "-P", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        for pid in [*map(int, children), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.lose()
        with contextlib.suppress(OSError):
            os.close(self._master)


class Crowd(Machine):
    """Further keys, and windows that end with the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.env["UPTUI_SHELL"] = "/bin/sh"  # reads nobody's ~/.bashrc
        self.windows: list[Window] = []

    def key_of(self, name: str) -> Path:
        """The private key of somebody, made when first asked for."""
        path = self.folder / f"key-{name}"
        if not path.exists():
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
            subprocess.run(argv, check=True)
        return path

    def as_argv(self, who: str, string: str, *command: str) -> list[str]:
        """ssh as somebody with the string that `uptui url` or `uptui invite` printed."""
        config = self.folder / f"config-{who}"
        if not config.exists():
            text = (self.folder / "ssh_config").read_text()
            config.write_text(text.replace(f"{self.folder}/key", str(self.key_of(who)), 1))
        program, *rest = string.split()
        return [program, "-F", str(config), *rest, *command]

    def as_ssh(self, who: str, string: str, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.as_argv(who, string, *command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=40,
            check=False,
        )

    def start_ssh(self, who: str, string: str, *command: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            self.as_argv(who, string, *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def window(self, who: str, string: str, *command: str, columns: int = 80) -> Window:
        """ssh -tt as somebody, in a terminal."""
        argv = self.as_argv(who, string, *command)
        return self.show([argv[0], "-tt", *argv[1:]], columns)

    def show(self, argv: list[str], columns: int = 80) -> Window:
        made = Window(argv, self.env, columns)
        self.windows.append(made)
        return made

    def attach(self, *arguments: str, columns: int = 80) -> Window:
        """`uptui attach`."""
        return self.show([sys.executable, "-m", "uptui", "attach", *arguments], columns)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the host API, which is what every command makes."""
        transport = httpx.HTTPTransport(uds=str(self.api_socket))
        with httpx.Client(transport=transport, base_url="http://uptui", timeout=30) as http:
            answer = http.request(method, path, json=body)
        assert not answer.is_error, answer.text
        return answer.json() if answer.content else None

    def snapshot(self) -> Any:
        return self.api("GET", "/v1/snapshot")

    def terminals(self) -> Any:
        return self.snapshot()["terminals"]

    def clients(self) -> Any:
        return self.snapshot()["clients"]

    def pending(self) -> Any:
        return eventually(lambda: self.snapshot()["pending"], "somebody waits")[0]

    def events(self) -> list[str]:
        return [entry["event"] for entry in self.api("GET", "/v1/log?limit=200")]

    def told(self, event: str) -> Any:
        """The newest entry of this event, once there is one."""

        def find() -> Any:
            entries = self.api("GET", "/v1/log?limit=200")
            return [entry for entry in entries if entry["event"] == event]

        return eventually(find, f"{event} on record")[-1]

    def config(self, text: str) -> None:
        file = self.folder / "c" / "config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def ask(self, *arguments: str) -> dict[str, str]:
        """A share that asks about everybody unknown; its strings."""
        return self.host("--unknown", "ask", *arguments)[1]["strings"]

    def accept(self, *arguments: str) -> dict[str, str]:
        """A share that lets everybody in; its strings."""
        return self.host("--unknown", "accept", *arguments)[1]["strings"]

    def close(self) -> None:
        for window in self.windows:
            window.close()
        super().close()
        for process in self.processes:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


@pytest.fixture
def crowd() -> Generator[Crowd]:
    folder = Path(tempfile.mkdtemp(prefix="uptui-p-"))
    made = Crowd(folder)
    try:
        yield made
    finally:
        if made.api_socket.exists():
            made.run("stop")
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
