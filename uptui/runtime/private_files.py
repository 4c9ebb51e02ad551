"""Directories and files that are ours alone: made private, replaced whole, and left to nobody.

Also whether a place can be trusted at all: who can write to a directory above it can put another
in its stead.
"""

import contextlib
import grp
import os
import pwd
import stat
import tempfile
import time
from pathlib import Path
from typing import Final

from uptui.errors import StateError

TEMPORARY: Final = ".uptui-tmp"
"""How the name of a file ends that takes another's place once it is whole."""
_UNMAPPED: Final = 65534
"""The owner that the kernel shows for users that this user namespace does not have."""
_ADVICE: Final = "UPTUI_STATE_DIR and UPTUI_RUNTIME_DIR name other places"


def private_directory(path: Path) -> None:
    """Make `path` a directory of ours with mode 0700; parents that are missing likewise.

    Raises StateError when it belongs to somebody else or is not a directory.
    """
    try:
        for missing in [one for one in reversed(path.parents) if not one.exists()]:
            missing.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise StateError(path, "is not a directory")
        if found.st_uid != os.getuid():
            raise StateError(
                path, f"belongs to user {found.st_uid}, not to us: not used; {_ADVICE}"
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        problem = f"cannot be made a private directory: {error.strerror}; {_ADVICE}"
        raise StateError(path, problem) from error


def check_safe(path: Path) -> None:
    """Raise StateError when another user could put something else in the place of `path`."""
    for above in dict.fromkeys((*path.parents, *path.resolve().parents)):
        with contextlib.suppress(FileNotFoundError):
            found = above.stat()
            why = _danger(found)
            if why:
                problem = f"{why}, so what is below it may not be ours: not used; {_ADVICE}"
                raise StateError(above, problem)


def _danger(found: os.stat_result) -> str:
    """Why entries of a directory may be changed by others than root and us; empty if they cannot.

    With the sticky bit (as /tmp has it) each entry belongs to whoever made it.
    """
    if found.st_uid not in {0, os.getuid()} and not _outside(found.st_uid):
        return f"belongs to user {found.st_uid}"
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_ISVTX:
        return ""
    if mode & stat.S_IWOTH:
        return "can be written by every user"
    if mode & stat.S_IWGRP and not _own_group(found.st_gid):
        return f"can be written by group {found.st_gid}"
    return ""


def _own_group(gid: int) -> bool:
    """Whether nobody but root and us is in a group, as far as the user database says."""
    if gid == 0:
        return True
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(os.getuid()).pw_name
        group = grp.getgrgid(gid)
        return gid == os.getgid() and group.gr_name == name and not set(group.gr_mem) - {name}
    return gid == os.getgid()


def _outside(uid: int) -> bool:
    """Whether an owner is one that this user namespace does not have, such as the real root."""
    if uid != _UNMAPPED:
        return False
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = (int(number) for number in line.split())
            if first <= uid < first + count:
                return False
        return True
    return False


def write_private(path: Path, data: bytes) -> None:
    """Replace a file with mode 0600: whole on disk before it takes the old one's place.

    Raises StateError; the old content is then still there.
    """
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(TEMPORARY, f".{path.name}.", path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
        _sync_directory(path.parent)
    except OSError as error:
        raise StateError(path, f"cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def remove_leftovers(directory: Path, older_than: float = 0.0) -> None:
    """Delete what `write_private` left when it was killed: our own regular files, by their name.

    The caller holds the lock of the directory, or gives an age that no writing lasts for.
    """
    before = time.time() - older_than
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            if path.name.startswith(".") and path.name.endswith(TEMPORARY):
                with contextlib.suppress(OSError):
                    found = path.lstat()
                    ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
                    if ours and found.st_mtime <= before:
                        path.unlink()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
