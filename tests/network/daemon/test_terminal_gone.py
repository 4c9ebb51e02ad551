"""What shows something live ends with its terminal, or when it is told to, and does not spin."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.network.daemon.conftest import Machine, eventually

SOON = 2.0
"""Seconds within which the process is gone."""
QUIET = 1.0
"""Seconds without a line after which the whole record has been shown."""
LITTLE = 0.6
"""Seconds of processor time for leaving; a spin has used more when this fails."""
SEQUENCE = re.compile(rb"\x1b\[[0-9;?<>=!]*[ -/]*[a-zA-Z]")
ARGUMENTS = {"tui": [], "attach": ["attach"], "log": ["log", "--follow"]}
SHOWN = {"tui": b"ssh -p", "attach": b"^] leaves", "log": b"relay"}


class Seen:
    """A program with one terminal for its input and one for its output; no SIGHUP by itself."""

    def __init__(self, argv: list[str], env: dict[str, str], *, controlling: bool = False) -> None:
        self._masters: list[int] = []
        slaves: list[int] = []
        for _ in range(2):
            master, slave = pty.openpty()
            termios.tcsetwinsize(slave, (40, 120))
            os.set_blocking(master, False)
            self._masters.append(master)
            slaves.append(slave)
        self.before = termios.tcgetattr(slaves[0])

        def take() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            argv,
            env={**env, "TERM": "xterm-256color"},
            stdin=slaves[0],
            stdout=slaves[1],
            stderr=slaves[1],
            start_new_session=True,
            preexec_fn=take if controlling else None,  # noqa: PLW1509
        )
        for slave in slaves:
            os.close(slave)
        self.input, self.output = self._masters
        self.seen = b""

    def _reads(self) -> bool:
        """Whether there is something new, or could be later."""
        try:
            self.seen += os.read(self.output, 65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def look(self) -> bytes:
        with suppress(OSError):
            while data := os.read(self.output, 65536):
                self.seen += data
        return SEQUENCE.sub(b"", self.seen)

    def shows(self, what: bytes) -> None:
        eventually(lambda: what in self.look(), f"{what!r} is shown")

    def tear_away(self, *masters: int) -> None:
        for master in masters:
            os.close(master)
            self._masters.remove(master)

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.input)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.tear_away(*self._masters)

    def used(self) -> float:
        """Seconds of processor time, of what it has waited for as well."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def ends(self, code: int, after: Callable[[], None]) -> None:
        """With that exit code, soon after that, and with little work."""
        self.look()
        used, began = self.used(), time.monotonic()
        after()
        pidfd = os.pidfd_open(self.process.pid)
        fds = [pidfd, self.output] if self.output in self._masters else [pidfd]
        ready: list[int] = []
        while pidfd not in ready and time.monotonic() < began + SOON:
            ready = select.select(fds, [], [], began + SOON - time.monotonic())[0]
            if self.output in ready and not self._reads():
                fds = [pidfd]
        gone = pidfd in ready
        os.close(pidfd)
        took, used = time.monotonic() - began, self.used() - used
        assert gone, f"lives on after {took:.1f} s, with {used:.1f} s of processor time"
        assert used < LITTLE
        assert self.process.wait() == code


Watching = Callable[..., Seen]


@pytest.fixture(scope="module")
def sharing() -> Generator[Machine]:
    """One share for all of these tests: nothing here may end it."""
    folder = Path(tempfile.mkdtemp(prefix="uptui-d-"))
    made = Machine(folder)
    try:
        made.share()
        yield made
        assert made.json("status")["share"]["status"] == "sharing"
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def watching(sharing: Machine) -> Generator[Watching]:
    """Starts one kind of `ARGUMENTS` and waits until it shows something."""
    all_of_them: list[Seen] = []

    def start(kind: str, *, controlling: bool = False) -> Seen:
        argv = [sys.executable, "-m", "uptui", *ARGUMENTS[kind]]
        seen = Seen(argv, sharing.env, controlling=controlling)
        all_of_them.append(seen)
        seen.shows(SHOWN[kind])
        return seen

    yield start
    for seen in all_of_them:
        seen.close()


WAYS: dict[str, tuple[int, Callable[[Seen], None]]] = {
    "terminal": (129, lambda seen: seen.tear_away(seen.input, seen.output)),
    "input": (129, lambda seen: seen.tear_away(seen.input)),
    "output": (129, lambda seen: seen.tear_away(seen.output)),
    "SIGHUP": (129, lambda seen: seen.process.send_signal(signal.SIGHUP)),
    "SIGTERM": (143, lambda seen: seen.process.send_signal(signal.SIGTERM)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["tui", "attach"])
def test_it_ends_with_its_terminal_or_by_a_signal(
    watching: Watching, sharing: Machine, kind: str, way: str
) -> None:
    seen = watching(kind, controlling=way == "terminal")
    assert seen.modes() != seen.before
    code, act = WAYS[way]
    seen.ends(code, lambda: act(seen))
    if way in {"SIGHUP", "SIGTERM"}:
        assert seen.modes() == seen.before
        seen.look()
        assert b"\x1b[?1049l" in seen.seen
        assert b"\x1b[?25h" in seen.seen
    assert sharing.json("status")["share"]["status"] == "sharing"


@pytest.mark.parametrize("kind", ["tui", "attach", "log"])
def test_no_signal_need_tell_that_the_terminal_is_gone(watching: Watching, kind: str) -> None:
    seen = watching(kind)
    seen.ends(129, lambda: seen.tear_away(seen.input, seen.output))


def test_a_reader_of_the_log_that_is_gone_ends_it(sharing: Machine) -> None:
    argv = [sys.executable, "-m", "uptui", "log", "--follow"]
    with subprocess.Popen(argv, env=sharing.env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while select.select([process.stdout], [], [], QUIET)[0]:
            os.read(process.stdout.fileno(), 65536)
        process.stdout.close()  # and nothing more is written that would tell
        assert process.wait(20) == 1


@pytest.mark.parametrize("kind", ["tui", "attach"])
def test_it_ends_though_its_terminal_takes_no_output(watching: Watching, kind: str) -> None:
    seen = watching(kind)
    if kind == "attach":
        os.write(seen.input, b"yes\r")
    for columns in range(100, 160):
        termios.tcsetwinsize(seen.output, (60, columns))
        seen.process.send_signal(signal.SIGWINCH)
        time.sleep(0.05)
    seen.process.send_signal(signal.SIGTERM)
    assert seen.process.wait(SOON) == 143
    assert seen.modes() == seen.before


def test_a_sigcont_alone_adds_no_second_reader(watching: Watching) -> None:
    seen = watching("tui")
    threads = Path(f"/proc/{seen.process.pid}/task")
    before = len(list(threads.iterdir()))
    seen.seen = b""
    for number in (signal.SIGSTOP, signal.SIGCONT):
        seen.process.send_signal(number)
    seen.shows(b"ssh -p")
    assert len(list(threads.iterdir())) == before
    os.write(seen.input, b"q")
    seen.shows(b"Still sharing")
    assert seen.process.wait(SOON) == 0
