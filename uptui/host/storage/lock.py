"""One daemon per state directory: a lock that dies with its holder, and who holds it."""

import contextlib
import fcntl
import os
from pathlib import Path

from uptui.errors import AlreadyRunningError, StateError


class DaemonLock:
    """Holds `path` locked from `acquire` to `release` or to the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunningError naming the holder, StateError."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(self._path, f"cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise StateError(self._path, f"cannot be locked: {error.strerror}") from error
            raise AlreadyRunningError(_busy(self._path)) from error
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # the pid only serves messages; the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """The pid of the daemon that holds the lock, None when nobody does (or it is unknown)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(path)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def _pid(path: Path) -> int | None:
    try:
        written = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(written) if written.isdigit() else None


def _busy(path: Path) -> str:
    pid = _pid(path)
    who = f"pid {pid}" if pid is not None else "another process"
    return (
        f"a uptui daemon ({who}) already uses {path.parent}; `uptui` attaches to it, "
        "`uptui stop` ends it, `--name NAME` runs another beside it"
    )
