"""Shells whose client has vanished: kept for a while, counted, and offered to the same identity."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uptui.errors import ApiError
from uptui.host.gate import Grant
from uptui.host.pty import Size
from uptui.host.spawn import ExitStatus
from uptui.host.ssh.seats import Seat, SeatSpec, Viewer
from uptui.host.terminal.own import OwnShell, ago
from uptui.protocol.host_api import Terminal
from uptui.protocol.names import Fingerprint

GRACE_S: Final = 12 * 3600.0
MAX_KEPT: Final = 32
"""Shells without a client, all identities together; the one away longest ends first."""
MAX_KEPT_EACH: Final = 8
"""The same for one identity; no more than an offer can list by digit."""
OFFER_S: Final = 60.0
"""An offer unanswered for so long starts a new shell."""
FAILED_STATUS: Final = 126
"""Exit status of what could not be started, as shells use it."""
_RESUME_KEYS: Final = b"\r\ny1"


@dataclass
class _Kept:
    shell: OwnShell
    id: str
    owner: Fingerprint
    name: str
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
        self._shells: dict[OwnShell, _Kept] = {}
        self._counter = 0

    def open(self, viewer: Viewer, spec: SeatSpec, owner: Fingerprint, name: str) -> Seat:
        """A new shell, or the question whether a kept one should be taken up. Raises OSError."""
        waiting = self.waiting(owner)
        if waiting:
            return Offer(self, waiting, viewer, spec, owner, name)
        return self.start(viewer, spec, owner, name)

    def start(self, viewer: Viewer, spec: SeatSpec, owner: Fingerprint, name: str) -> OwnShell:
        """A new shell. Raises OSError."""
        shell = OwnShell(
            spec.program, viewer.size, spec.modes, on_gone=self._gone, on_end=self._ended
        )
        self._counter += 1
        self._shells[shell] = _Kept(shell, f"shell-{self._counter}", owner, name)
        shell.start(viewer)
        return shell

    def resume(self, shell: OwnShell, viewer: Viewer) -> OwnShell:
        """Give a kept shell to a viewer."""
        kept = self._shells[shell]
        if kept.timer is not None:
            kept.timer.cancel()
        kept.timer = kept.ends_at = None
        shell.resume(viewer)
        self._note("shell.resumed", f"{kept.name} came back to a kept shell", kept.owner)
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

    def snapshot(self) -> list[Terminal]:
        """Kept shells for the host API."""
        return [_model(kept) for kept in self._kept()]

    def _kept(self) -> list[_Kept]:
        return [kept for kept in self._shells.values() if kept.shell.detached_at is not None]

    def _gone(self, shell: OwnShell) -> None:
        kept = self._shells.get(shell)
        if kept is None:
            return
        if self.grace <= 0:
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


def _model(kept: _Kept) -> Terminal:
    size = kept.shell.size
    return Terminal(
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


class Offer:
    """A seat that first asks which shell is meant, then is that shell's.

    Keys that are no answer start a new shell and go to it, so scripts are not caught.
    """

    def __init__(
        self,
        shells: KeptShells,
        waiting: list[OwnShell],
        viewer: Viewer,
        spec: SeatSpec,
        owner: Fingerprint,
        name: str,
    ) -> None:
        self._shells = shells
        self._waiting = waiting
        self._viewer = viewer
        self._spec = spec
        self._owner = owner
        self._name = name
        self._seat: OwnShell | None = None
        self._gone = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(OFFER_S, self._choose, None, b"")
        viewer.write(self._question())

    def type(self, data: bytes) -> None:
        if self._seat is not None:
            self._seat.type(data)
            return
        key = data[:1]
        index = int(key) - 1 if key.isdigit() else 0
        if (key in _RESUME_KEYS or key.isdigit()) and 0 <= index < len(self._waiting):
            self._choose(self._waiting[index], data[1:])
        else:
            self._choose(None, data[1:] if key in b"nN" else data)

    def resize(self, size: Size) -> None:
        if self._seat is not None:
            self._seat.resize(size)

    def signal(self, name: str) -> None:
        if self._seat is not None:
            self._seat.signal(name)

    def room(self) -> None:
        if self._seat is not None:
            self._seat.room()

    def regrant(self, grant: Grant) -> None:
        if self._seat is not None:
            self._seat.regrant(grant)

    def notice(self, text: str) -> None:
        if self._seat is not None:
            self._seat.notice(text)
        else:
            self._viewer.write(f"\r\n[uptui] {text}\r\n".encode())

    def end(self) -> None:
        self._timer.cancel()
        self._gone = True
        if self._seat is not None:
            self._seat.end()

    def vanish(self) -> None:
        self._timer.cancel()
        self._gone = True
        if self._seat is not None:
            self._seat.vanish()

    def _question(self) -> bytes:
        now = time.time()
        lines = [
            f"  {number}  left {ago(now - (shell.detached_at or now))} ago"
            for number, shell in enumerate(self._waiting, 1)
        ]
        if len(lines) == 1:
            head = f"A shell of yours still runs, {lines[0].split('  ', 2)[2]}."
            return f"\r\n[uptui] {head} Enter: take it up   n: new shell ".encode()
        head = f"{len(lines)} shells of yours still run:"
        text = "\r\n".join([f"[uptui] {head}", *lines, "Enter or 1-9: take up   n: new shell "])
        return f"\r\n{text}".encode()

    def _choose(self, shell: OwnShell | None, rest: bytes) -> None:
        self._timer.cancel()
        if self._gone or self._seat is not None:
            return
        self._viewer.write(b"\r\n")
        if shell is not None and (shell.ended or shell.attached):
            self._viewer.write(b"[uptui] that shell is not there any more: here is a new one\r\n")
            shell = None
        self._seat = (
            self._shells.resume(shell, self._viewer) if shell is not None else self._start()
        )
        if self._seat is not None and rest:
            self._seat.type(rest)

    def _start(self) -> OwnShell | None:
        try:
            return self._shells.start(self._viewer, self._spec, self._owner, self._name)
        except OSError as error:
            message = f"{self._spec.program.path}: {error.strerror}"
            self._viewer.finish(ExitStatus(code=FAILED_STATUS), message)
            return None
