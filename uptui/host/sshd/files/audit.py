"""What one SFTP session has done and is not yet on record; knows no requests.

Handlers write here, also from a thread; `settle` puts it on record from the event loop, once the
reply has left.
"""

import errno
from typing import Final

from uptui.host.sshd.files.transfers import FileAccess, FileChange, RunningTransfer, note_failure

MAX_FAILURES: Final = 100
"""Paths of one session whose failure goes on record, each once."""


class Audit:
    """One session's."""

    def __init__(self, access: FileAccess) -> None:
        self._access = access
        self._moving: RunningTransfer | None = None
        self._ended: list[tuple[RunningTransfer, str]] = []
        self._changes: list[FileChange] = []
        self._failures: list[tuple[str, OSError]] = []
        self._failed: set[str] = set()
        self.unsettled = False
        """Whether there is something to put on record."""

    def moving(self, transfer: RunningTransfer) -> None:
        """More of `transfer` has come."""
        if transfer.due:
            self._moving = transfer
            self.unsettled = True

    def ended(self, transfer: RunningTransfer, problem: str) -> None:
        """`transfer` is over; `problem` is empty when all went well."""
        self._ended.append((transfer, problem))
        self.unsettled = True

    def changed(self, what: str, path: str, target: str = "") -> None:
        """Something was done to a name (transfers.Change)."""
        self._changes.append(FileChange(what, path, target))
        self.unsettled = True

    def failed(self, path: str, error: OSError) -> None:
        """A client did not get `path`, or may not have it."""
        if error.errno and path not in self._failed and len(self._failed) < MAX_FAILURES:
            self._failed.add(path)
            self._failures.append((path, error))
            self.unsettled = True

    def refused(self, path: str, error: OSError) -> None:
        """The same, but only if it is a matter of permission."""
        if error.errno == errno.EACCES:
            self.failed(path, error)

    def settle(self) -> None:
        """Put it on record and show it; must run on the event loop."""
        self.unsettled = False
        while self._failures:
            note_failure(self._access, *self._failures.pop(0))
        while self._changes:
            self._changes.pop(0).note(self._access)
        if self._moving is not None:
            self._moving.show()
            self._moving = None
        while self._ended:
            transfer, problem = self._ended.pop(0)
            transfer.finish(problem)
