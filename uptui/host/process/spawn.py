"""Start programs cheaply and learn how they end; knows neither terminals nor SSH.

`os.posix_spawn` shares the parent's memory until exec, so starting a program costs the same however
large the daemon is, and no Python runs in the child.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uptui.host.process.guests import Run

_RESET: Final = tuple(
    number
    for number in signal.valid_signals()
    if number not in (signal.SIGKILL, signal.SIGSTOP) and number <= signal.SIGSYS
)
LAST_STANDARD: Final = 2
SIGNALLED: Final = 128
MAX_INHERITED: Final = 65536
"""Descriptors that are looked at where no list of them can be had."""
_STANDARD_DIRECTORY: Final = "/"


@dataclass(frozen=True)
class ExitStatus:
    """How a program ended: with a code of 0-255, or by a signal."""

    code: int | None = None
    signal: str | None = None
    """Name without SIG, such as "TERM" (RFC 4254 section 6.10)."""
    core_dumped: bool = False

    @property
    def shell_code(self) -> int:
        """One number, as shells tell it: the code, or 128 and the number of the signal."""
        if self.code is not None:
            return self.code
        name = self.signal or ""
        try:
            return SIGNALLED + signal.Signals[f"SIG{name}"]
        except KeyError:
            return SIGNALLED + int(name.removeprefix("RT") or 0)

    @classmethod
    def from_wait(cls, status: int) -> "ExitStatus":
        """Translate what waitpid(2) says."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            try:
                name = signal.Signals(number).name.removeprefix("SIG")
            except ValueError:
                name = f"RT{number}"
            return cls(signal=name, core_dumped=os.WCOREDUMP(status))
        return cls(code=os.WEXITSTATUS(status))


@dataclass(frozen=True)
class Program:
    """What to start: a file, its argument vector, its environment and where it runs."""

    path: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str = _STANDARD_DIRECTORY
    """Directory to start in; when it cannot be entered, `/` serves."""
    guest: "Run | None" = None
    """What it is for whom; None when it is the host's own."""


GUESTS: Final[dict[int, str]] = {}
"""Programs of guests that run now, by process id: which key started which."""


class Child:
    """A started program; `on_exit` is called once, in the loop, when it has ended."""

    def __init__(
        self, pid: int, on_exit: Callable[[ExitStatus], None], guest: "Run | None" = None
    ) -> None:
        self.pid = pid
        self._guest = guest
        if guest is not None:
            guest.pid = pid
            GUESTS[pid] = guest.key
        self.status: ExitStatus | None = None
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        try:
            self._pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait, name=f"wait-{pid}", daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._ready)

    def signal_group(self, number: int) -> None:
        """Signal the program and all that it started in its process group."""
        if self.status is not None:
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def look(self) -> None:
        """Learn now that it has ended, if it has, and not only in the loop's next turn."""
        if self._pidfd >= 0 and self.status is None:
            self._ready(os.WNOHANG)

    def _ready(self, options: int = 0) -> None:
        status = _reap(self.pid, options)
        if status is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._finish(status)

    def _wait(self) -> None:
        status = _reap(self.pid)
        assert status is not None
        try:
            self._loop.call_soon_threadsafe(self._finish, status)
        except RuntimeError:
            return  # the loop is closed: nobody is left to tell

    def _finish(self, status: int) -> None:
        self.status = ExitStatus.from_wait(status)
        GUESTS.pop(self.pid, None)
        if self._guest is not None:
            self._guest.pid = 0
        self._on_exit(self.status)


def _reap(pid: int, options: int = 0) -> int | None:
    """The status of an ended child; None when it runs, which only WNOHANG does not wait for."""
    try:
        found, status = os.waitpid(pid, options)
    except ChildProcessError:
        return 255 << 8  # somebody else reaped it: its status is lost
    return status if found else None


class _Place:
    """The working directory that a child inherits, put back at once.

    posix_spawn has no portable way to set it in the child only. It returns after the child's
    exec, so the daemon is elsewhere for that moment; its own paths are absolute. The umask is
    left alone: other threads make files meanwhile, which would get the wrong mode.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._back = -1

    def __enter__(self) -> None:
        flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
        self._back = os.open(".", flags)
        try:
            os.chdir(self._program.cwd)
        except OSError:
            os.chdir(_STANDARD_DIRECTORY)

    def __exit__(self, *_: object) -> None:
        os.fchdir(self._back)
        os.close(self._back)


def keep_descriptors() -> None:
    """Let no program inherit what the daemon itself inherited from whoever started it."""
    try:
        numbers = [int(entry.name) for entry in Path("/dev/fd").iterdir()]
    except OSError:  # a bare chroot
        numbers = range(MAX_INHERITED)
    for number in numbers:
        if number > LAST_STANDARD:
            with contextlib.suppress(OSError):  # it is closed, such as that of the listing
                os.set_inheritable(number, False)


def spawn(
    program: Program, descriptors: Sequence[int | str], on_exit: Callable[[ExitStatus], None]
) -> Child:
    """Start `program` as the leader of a new session; must run in the event loop's thread.

    `descriptors` become 0, 1, 2: an open descriptor is copied; a string is the path of a terminal
    device, opened in the child, which makes it its controlling terminal. Every other descriptor of
    the daemon is closed by exec. Raises OSError when the program cannot be started.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    for number, source in enumerate(descriptors):
        if isinstance(source, str):
            actions.append((os.POSIX_SPAWN_OPEN, number, source, os.O_RDWR, 0))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, source, number))
    try:
        with _Place(program):
            pid = os.posix_spawn(
                program.path,
                list(program.argv),
                dict(program.env),
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_RESET,
            )
    except OSError:
        if program.guest is not None:
            program.guest.leave()  # it is looked for, not found, and forgotten
        raise
    return Child(pid, on_exit, program.guest)
