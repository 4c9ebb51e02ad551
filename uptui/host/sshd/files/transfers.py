"""Files moved by one client: shown while they run, recorded when they end.

SFTP and the built-in scp report here; where reports go is the Access's business.
"""

import time
from dataclasses import dataclass
from errno import EACCES
from typing import Final, Literal, Protocol

from uptui.core.roles import Role
from uptui.protocol.host_api import Level, Transfer

SHOWN_EVERY: Final = 8 * 1024 * 1024
"""Bytes between two reports of a running transfer."""

Direction = Literal["upload", "download"]


class FileAccess(Protocol):
    """What a client may do at this moment, and where its doings are shown and recorded."""

    @property
    def role(self) -> Role:
        """The role of the live grant."""
        ...

    def note(self, event: str, text: str, *, level: Level = "info", **data: object) -> None:
        """Put something on record under this client (AccessControl.note)."""
        ...

    def show_transfer(self, transfer: Transfer) -> None:
        """Show a transfer, new or in place of the one with the same path and start."""
        ...


def printable(path: bytes | str) -> str:
    """A path for people and records: undecodable bytes and control characters are replaced."""
    text = path.decode("utf-8", "replace") if isinstance(path, bytes) else path
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "�" for c in text)


def note_failure(access: FileAccess, path: str, error: OSError) -> None:
    """Record that a client did not get this path, or may not have it."""
    why = error.strerror or "refused"
    denied = error.errno == EACCES
    event, verb = ("file.refused", "refused") if denied else ("file.failed", "cannot open")
    access.note(event, f"{verb} {path}: {why}", level="warning", path=path, result=why)


@dataclass(frozen=True)
class FileChange:
    """Something done to a name, other than moving contents."""

    what: str
    """What happened to the path, as a verb in the past."""
    path: str
    target: str = ""
    """Where a renamed file went, or what a link leads to."""

    def note(self, access: FileAccess) -> None:
        """Put it on record."""
        text = f"{self.what} {self.path}" + (f" to {self.target}" if self.target else "")
        access.note("file.change", text, path=self.path, target=self.target)


class RunningTransfer:
    """A transfer under way; small ones are shown only once they have ended."""

    __slots__ = ("_access", "_shown", "bytes", "direction", "path", "started_at")

    def __init__(self, access: FileAccess, path: str, direction: Direction) -> None:
        self._access = access
        self._shown = 0
        self.path = path
        self.direction: Direction = direction
        self.started_at = time.time()
        self.bytes = 0

    def count(self, size: int) -> None:
        """`size` bytes of content more."""
        self.bytes += size

    @property
    def due(self) -> bool:
        """Whether enough has been moved since the last report."""
        return self.bytes - self._shown >= SHOWN_EVERY

    def show(self) -> None:
        """Report progress when that is due."""
        if self.due:
            self._shown = self.bytes
            self._access.show_transfer(self._model(None, ""))

    def finish(self, error: str = "") -> None:
        """Record the end; `error` is empty when all went as the client wished."""
        self._access.show_transfer(self._model(time.time(), error))
        verb = "uploaded" if self.direction == "upload" else "downloaded"
        self._access.note(
            f"file.{self.direction}",
            f"{verb} {self.path}" + (f": {error}" if error else ""),
            level="warning" if error else "info",
            path=self.path,
            bytes=self.bytes,
            result=error or "ok",
        )

    def _model(self, finished_at: float | None, error: str) -> Transfer:
        return Transfer(
            path=self.path,
            direction=self.direction,
            bytes=self.bytes,
            started_at=self.started_at,
            finished_at=finished_at,
            error=error,
        )
