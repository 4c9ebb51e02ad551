"""What the system tells about running programs (/proc), and how they are signalled.

These look at every process of the machine, so callers use a thread.
"""

import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

PROC: Final = Path("/proc")
MAX_NAMED: Final = 3
"""Programs called by name in one sentence; of the others only the number is told."""

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
    """A running program, for people."""

    pid: int
    name: str
    started: int = 0
    """In the system's own ticks; with the pid, it names one process for ever."""

    def signal(self, number: int) -> None:
        """Send a signal, also to one that is stopped; nothing happens once it has ended."""
        if not PROC.is_dir():
            _read(lambda: os.killpg(self.pid, number))  # only leaders are known there
            return
        opened = _read(lambda: os.pidfd_open(self.pid))
        if opened is None:
            return
        try:
            status = _status(self.pid)
            if status is not None and status.started == self.started:
                for one in (number, signal.SIGCONT):
                    _read(lambda one=one: signal.pidfd_send_signal(opened, one))
        finally:
            os.close(opened)

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def named(processes: Collection[Process]) -> str:
    """A few of them in words; empty when there are none."""
    words = [str(process) for process in list(processes)[:MAX_NAMED]]
    if len(processes) > MAX_NAMED:
        words.append(f"{len(processes) - MAX_NAMED} more")
    return ", ".join(words)


def holders(pipes: Collection[int]) -> list[Process]:
    """Who has one of these pipes open, given by inode; not this process itself."""
    links, own = {f"pipe:[{inode}]" for inode in pipes}, os.getpid()
    return [
        Process(pid, _name(pid))
        for pid in _pids()
        if pid != own and any(_link(entry) in links for entry in _descriptors(pid))
    ]


def families(
    variable: bytes, marks: Mapping[str, str], leaders: Mapping[int, str], ours: int
) -> dict[str, list[Process]]:
    """The running processes of each family, by its name.

    Of a family is who has its mark in the environment (`variable` is `NAME=`), its leader, and
    every descendant of these. Never process `ours`. Without /proc, leaders are all that is known.
    """
    if not PROC.is_dir():
        return {name: [Process(pid, "?")] for pid, name in leaders.items()}
    statuses = {pid: status for pid in _pids() if (status := _status(pid)) is not None}
    owners: dict[int, str] = {ours: ""}

    def owner(pid: int) -> str:
        if pid not in owners:
            owners[pid] = ""  # whatever /proc says, this ends
            status = statuses.get(pid)
            own = leaders.get(pid) or marks.get(_variable(pid, variable)) if status else ""
            owners[pid] = own or (owner(status.parent) if status else "")
        return owners[pid]

    found: dict[str, list[Process]] = {}
    for pid, status in statuses.items():
        if (name := owner(pid)) and status.lives:
            found.setdefault(name, []).append(Process(pid, status.name, status.started))
    return found


@dataclass(frozen=True)
class _Status:
    """What /proc/PID/stat says."""

    name: str
    lives: bool
    parent: int
    started: int


def _status(pid: int) -> _Status | None:
    def look() -> _Status:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
        name, _, rest = text.partition("(")[2].rpartition(")")
        words = rest.split()
        return _Status(name, words[0] not in "ZX", int(words[1]), int(words[19]))

    return _read(look)


def _variable(pid: int, variable: bytes) -> str:
    text = _read((PROC / str(pid) / "environ").read_bytes) or b""
    for part in text.split(b"\0"):
        if part.startswith(variable):
            return part[len(variable) :].decode(errors="replace")
    return ""


def _pids() -> list[int]:
    found = _read(lambda: [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()])
    return sorted(found or [])


def _descriptors(pid: int) -> Iterator[Path]:
    yield from _read(lambda: list((PROC / str(pid) / "fd").iterdir())) or ()


def _link(entry: Path) -> str:
    return _read(lambda: str(entry.readlink())) or ""


def _name(pid: int) -> str:
    return _read(lambda: (PROC / str(pid) / "comm").read_text(errors="replace").strip()) or "?"


def _read(look: Callable[[], T]) -> T | None:
    """None for what has ended meanwhile, or belongs to somebody else."""
    try:
        return look()
    except (OSError, ValueError, IndexError):
        return None
