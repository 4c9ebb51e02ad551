"""A real daemon in a subprocess, in its own directories, reached by the real ssh."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0


def eventually(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Poll until `holds` gives something true, and return that."""
    deadline = time.monotonic() + patience
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(0.05)
    return found


class Machine:
    """Directories and keys of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        self.under: tuple[str, ...] = ()
        """The command, if any, that runs what is started."""
        self.env = {
            **{name: text for name, text in os.environ.items() if not name.startswith("UPTUI_")},
            "UPTUI_SHELL": "/bin/sh",  # reads no files of the account that runs the tests
            "UPTUI_STATE_DIR": str(folder / "s"),
            "UPTUI_CONFIG_DIR": str(folder / "c"),
            "UPTUI_RUNTIME_DIR": str(folder / "r"),
        }
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True
        )
        (folder / "ssh_config").write_text(
            f"IdentityFile {folder}/key\nIdentitiesOnly yes\nIdentityAgent none\n"
            "StrictHostKeyChecking accept-new\nLogLevel ERROR\n"
            f"UserKnownHostsFile {folder}/known_hosts\n"
        )

    @property
    def key(self) -> str:
        return str(self.folder / "key.pub")

    @property
    def api_socket(self) -> Path:
        return self.folder / "r" / "default" / "api.sock"

    def run(
        self, *arguments: str, stdin: str = "", **env: str
    ) -> "subprocess.CompletedProcess[str]":
        """`uptui ARGUMENTS`, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "uptui", *arguments],
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str, log: str, **env: str) -> "subprocess.Popen[str]":
        """`uptui ARGUMENTS` with its stdout piped, in a session of its own."""
        with (self.folder / log).open("a") as errors:
            process = subprocess.Popen(
                [*self.under, sys.executable, "-m", "uptui", *arguments],
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def host(self, *arguments: str, **env: str) -> tuple["subprocess.Popen[str]", Any]:
        """`uptui host --json` and its first line."""
        process = self.start("host", "--json", *arguments, log="host.log", **env)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (self.folder / "host.log").read_text()
        ready = json.loads(line)
        assert ready["event"] == "ready"
        return process, ready

    def share(self, *arguments: str) -> Any:
        """A host that lets this test's key in; its first line."""
        return self.host("--authorized-keys", self.key, "--unknown", "deny", *arguments)[1]

    def ssh_argv(self, string: str, *command: str) -> list[str]:
        program, *rest = string.split()
        return [program, "-F", str(self.folder / "ssh_config"), *rest, *command]

    def ssh(self, string: str, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run what `uptui url` printed."""
        return subprocess.run(
            self.ssh_argv(string, *command),
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def url(self) -> Any:
        return self.json("url")

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


class Terminal:
    """`uptui` on a terminal that can be torn away."""

    def __init__(self, machine: Machine, *arguments: str) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            command = [*machine.under, sys.executable, "-m", "uptui", *arguments]
            size = {"LINES": "40", "COLUMNS": "120", "TERM": "xterm-256color"}
            os.execvpe(command[0], command, {**machine.env, **size})
        os.set_blocking(self._descriptor, False)
        self.seen = b""

    def shows(self, word: bytes) -> bool:
        try:
            while data := os.read(self._descriptor, 65536):
                self.seen += data
        except OSError:
            pass  # nothing more at the moment, or the program has ended
        return word in re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self.seen)

    def press(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def tear_away(self) -> None:
        os.close(self._descriptor)
        os.waitpid(self.pid, 0)


@pytest.fixture
def machine() -> Generator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="uptui-d-"))
    made = Machine(folder)
    try:
        yield made
    finally:
        made.run("stop")
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
