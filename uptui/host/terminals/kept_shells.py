"""Shells whose client has vanished: kept for a while, counted, and named to the same identity.

A login never waits for them: it gets a new shell at once, below a line that names what is kept.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uptui.errors import ApiError, RefusedError
from uptui.host.sshd.sessions.attachments import AttachmentSpec, Viewer
from uptui.host.terminals.own_shell import OwnShell, ago
from uptui.protocol.host_api import TerminalView
from uptui.protocol.names import Fingerprint

GRACE_S: Final = 12 * 3600.0
MAX_KEPT: Final = 32
"""Shells without a client, all identities together; the one away longest ends first."""
MAX_KEPT_EACH: Final = 8
"""The same for one identity."""
DUMB: Final = frozenset({"", "dumb", "unknown"})
"""TERM of programs that log in by themselves, such as TRAMP: they expect nothing but a prompt, and
come back to no shell."""
TAKE_UP: Final = "ssh -t NAME uptui shells"


@dataclass
class _KeptShell:
    shell: OwnShell
    id: str
    owner: Fingerprint
    name: str
    keeps: bool
    timer: asyncio.TimerHandle | None = None
    ends_at: float | None = None


class KeptShells:
    """Every client's own shell, from its start to its end."""

    def __init__(
        self,
        *,
        grace: float = GRACE_S,
        limit: int = MAX_KEPT,
        each: int = MAX_KEPT_EACH,
        on_change: Callable[[], None] = lambda: None,
        note: Callable[[str, str, str], None] = lambda _event, _text, _owner: None,
    ) -> None:
        """`grace` in seconds; 0 keeps nothing. `note` puts (event, text, owner) on record."""
        self.grace = grace
        self._limit = limit
        self._each = each
        self._on_change = on_change
        self._note = note
        self._shells: dict[OwnShell, _KeptShell] = {}
        self._counter = 0

    def open(self, viewer: Viewer, spec: AttachmentSpec, owner: Fingerprint, name: str) -> OwnShell:
        """A new shell, or the kept one that `spec` asks for. Raises OSError, RefusedError."""
        waiting = self.waiting(owner)
        if spec.take_up is not None:
            if not 0 < spec.take_up <= len(waiting):
                raise RefusedError(f"no shell {spec.take_up} of yours is kept")
            return self.resume(waiting[spec.take_up - 1], viewer)
        keeps = spec.term not in DUMB
        shell = OwnShell(
            spec.program, viewer.size, spec.modes, on_gone=self._gone, on_end=self._ended
        )
        self._counter += 1
        self._shells[shell] = _KeptShell(shell, f"shell-{self._counter}", owner, name, keeps)
        if waiting and keeps:
            viewer.write(_named(waiting))
        shell.start(viewer)
        return shell

    def take_up(self, terminal_id: str, viewer: Viewer) -> OwnShell:
        """Give a kept shell to the host's own people. Raises RefusedError."""
        for kept in self._kept():
            if kept.id == terminal_id:
                return self.resume(kept.shell, viewer, by="the host")
        raise RefusedError(f"no shell {terminal_id!r} is kept")

    def listed(self, owner: Fingerprint) -> list[str]:
        """Kept shells of one identity in words, in the order of their numbers."""
        return [_left(shell) for shell in self.waiting(owner)]

    def resume(self, shell: OwnShell, viewer: Viewer, by: str = "") -> OwnShell:
        """Give a kept shell to a viewer; `by` names another than its owner."""
        kept = self._shells[shell]
        if kept.timer is not None:
            kept.timer.cancel()
        kept.timer = kept.ends_at = None
        shell.resume(viewer)
        who, whose = (by, f"{kept.name}'s") if by else (kept.name, "a")
        self._note("shell.resumed", f"{who} came back to {whose} kept shell", kept.owner)
        self._on_change()
        return shell

    def waiting(self, owner: Fingerprint) -> list[OwnShell]:
        """Kept shells of one identity, the latest left first."""
        shells = [kept.shell for kept in self._kept() if kept.owner == owner]
        return sorted(shells, key=lambda shell: -(shell.detached_at or 0.0))

    def end(self, terminal_id: str) -> None:
        """Hang up on a shell. Raises ApiError when there is none by this id."""
        for kept in self._shells.values():
            if kept.id == terminal_id:
                kept.shell.hang_up()
                return
        raise ApiError(404, "No such terminal", terminal_id)

    def end_of(self, owner: Fingerprint) -> None:
        """Hang up on every shell of one identity that waits for it."""
        for shell in self.waiting(owner):
            shell.hang_up()

    def close(self) -> None:
        """The daemon stops: hang up on every shell."""
        for kept in list(self._shells.values()):
            if kept.timer is not None:
                kept.timer.cancel()
            kept.shell.hang_up()

    def snapshot(self) -> list[TerminalView]:
        """Kept shells for the host API."""
        return [_model(kept) for kept in self._kept()]

    def _kept(self) -> list[_KeptShell]:
        return [kept for kept in self._shells.values() if kept.shell.detached_at is not None]

    def _gone(self, shell: OwnShell) -> None:
        kept = self._shells.get(shell)
        if kept is None:
            return
        if self.grace <= 0 or not kept.keeps:
            shell.hang_up()
            return
        kept.ends_at = time.time() + self.grace
        loop = asyncio.get_running_loop()
        kept.timer = loop.call_later(self.grace, shell.hang_up)
        self._note("shell.kept", f"{kept.name}'s shell is kept for {ago(self.grace)}", kept.owner)
        mine = self.waiting(kept.owner)
        oldest = sorted(self._kept(), key=lambda each: each.shell.detached_at or 0.0)
        if len(mine) > self._each:
            mine[-1].hang_up()
        elif len(oldest) > self._limit:
            oldest[0].shell.hang_up()
        self._on_change()

    def _ended(self, shell: OwnShell) -> None:
        kept = self._shells.pop(shell, None)
        if kept is None:
            return
        if kept.timer is not None:
            kept.timer.cancel()
        if not shell.attached and shell.detached_at is not None:
            self._note("shell.ended", f"{kept.name}'s kept shell has ended", kept.owner)
        self._on_change()


def _left(shell: OwnShell) -> str:
    now = time.time()
    return f"left {ago(now - (shell.detached_at or now))} ago"


def _named(waiting: list[OwnShell]) -> bytes:
    """The line above the first prompt. Scripts wait for one of `#$%>`, which it has not."""
    what = (
        f"A shell of yours is kept, {_left(waiting[0])}"
        if len(waiting) == 1
        else f"{len(waiting)} shells of yours are kept"
    )
    return f"[uptui] {what}, see {TAKE_UP}\r\n".encode()


def _model(kept: _KeptShell) -> TerminalView:
    size = kept.shell.size
    return TerminalView(
        id=kept.id,
        kind="kept",
        owner=kept.name,
        title="",
        command=kept.shell.command,
        started_at=kept.shell.started_at,
        columns=size.columns,
        rows=size.rows,
        viewers=0,
        typists=0,
        detached_at=kept.shell.detached_at,
        ends_at=kept.ends_at,
    )
