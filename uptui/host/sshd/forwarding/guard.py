"""Knows the daemon's own directories and sockets, whatever path leads to them.

Who may start programs as the host's user reaches all of it anyway. Who may only read files or
connect to ports must not become the owner by our own state: the host's key, invites, the API's
socket, the memory of the daemon in /proc. Directories are compared by device and inode, so that
neither links nor bind mounts nor renames make them others.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from uptui.host.sshd.forwarding.socketfile import SocketFile

MAX_DEPTH: Final = 1000
"""Directories looked at above one; a path of the kernel has no more."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_PATH_ONLY: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC

Identity = tuple[int, int]
"""Device and inode."""


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


class Guard:
    """Recognises what is ours."""

    def __init__(self, places: Iterable[Path]) -> None:
        """`places`: directories, with everything below them, and single files."""
        self._places = set(places)
        self._devices: dict[int, bool] = {}

    def add(self, place: Path) -> None:
        """Another place is ours from now on."""
        self._places.add(place)

    def remove(self, place: Path) -> None:
        """It is gone."""
        self._places.discard(place)

    def forbids(self, found: os.stat_result) -> bool:
        """Whether a file or directory is one of our places, or shows what processes hold."""
        return _identity(found) in self._own() or self._shows_processes(found.st_dev)

    def owns(self, found: SocketFile) -> bool:
        """Whether a socket is ours, or has a second name that may be one of ours."""
        status = found.status
        if status.st_nlink > 1 or _identity(status) in self._own():
            return True
        return self.owns_place(found.path)

    def owns_place(self, path: str) -> bool:
        """Whether the directory that `path` is in is one of ours or below one."""
        own = self._own()
        try:
            here = os.open(Path(os.path.realpath(path)).parent, _PATH_ONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            for _ in range(MAX_DEPTH):
                identity = _identity(os.fstat(here))
                if identity in own:
                    return True
                above = os.open("..", _PATH_ONLY | os.O_DIRECTORY, dir_fd=here)
                os.close(here)
                here = above
                if _identity(os.fstat(here)) == identity:
                    return False
        finally:
            os.close(here)
        return True

    def _own(self) -> set[Identity]:
        """Looked up each time: what is ours may be made anew at any time."""
        found = set[Identity]()
        for place in self._places:
            try:
                found.add(_identity(place.stat()))
            except OSError:
                continue
        return found

    def _shows_processes(self, device: int) -> bool:
        if device not in self._devices:
            self._devices[device] = device in _process_systems()
        return self._devices[device]


def _process_systems() -> set[int]:
    """The devices on which /proc is mounted, here or elsewhere."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return set()
    found = set[int]()
    for line in lines:
        fields, _, kind = line.partition(" - ")
        if kind.startswith("proc "):
            major, _, minor = fields.split()[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return found
