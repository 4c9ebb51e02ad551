"""One relay per state directory, unless it takes over; the lock dies with its holder."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from uptui.errors import ConfigError, StateError
from uptui.relay import logs
from uptui.runtime.private_files import private_directory

FILE: Final = "relay.lock"

log = logs.logger("uptui.relay.store.state_lock")


class StateLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self._descriptor = -1

    def acquire(self, *, takeover: bool) -> None:
        """Take it. Relays that can take over from each other share it.

        Raises ConfigError naming who holds it, StateError when there can be no such file. Where
        the file system knows no locks, that is logged, and nothing is held.
        """
        private_directory(self._path.parent)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(self._path, f"cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if takeover else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ConfigError("--state", self._busy(holder)) from error
        except OSError as error:
            log.warning("state_not_locked", path=str(self._path), problem=str(error))
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # the pid only serves messages; the disk may be full
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give it back; harmless when repeated."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _busy(self, holder: str) -> str:
        who = f"pid {holder}" if holder else "another process"
        return (
            f"a relay ({who}) already uses {self._path.parent}: end that first, or start both with "
            "--takeover, or give this one another --state"
        )
