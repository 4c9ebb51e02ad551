"""Every terminal of the host: who is attached, the shared one, kept shells, and recordings."""

import dataclasses
import datetime as dt
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from uptui.core.roles import Capability
from uptui.core.terminal_size import SizePolicy
from uptui.errors import ApiError, RefusedError
from uptui.host.process.pty import Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.sshd.access_control import Arrival, Grant
from uptui.host.sshd.sessions.attachments import Attachment, AttachmentSpec, Viewer
from uptui.host.sshd.sessions.environment import Environment
from uptui.host.terminals.kept_shells import GRACE_S, MAX_KEPT, KeptShells
from uptui.host.terminals.recording import Recording
from uptui.host.terminals.shared import MAX_VIEWERS, SharedOptions, SharedTerminal
from uptui.host.terminals.viewer import SharedViewer
from uptui.protocol.host_api import TerminalView
from uptui.protocol.terminal import INSIDE_VARIABLE, SHARED_ID

SHARED_TERM: Final = "xterm-256color"
"""TERM of the shared terminal: what all its viewers' terminals understand."""
MAX_RECORDINGS: Final = 100
"""Recordings kept in the directory; a new one replaces the oldest."""


class Note(Protocol):
    """Puts something on record."""

    def __call__(self, event: str, text: str, **data: object) -> None: ...


@dataclass(frozen=True)
class TerminalSettings:
    """What the configuration says about terminals."""

    command: Sequence[str] = ()
    """`uptui host -- COMMAND`: run as the shared terminal instead of a login shell."""
    cwd: str | None = None
    """Where `command` runs; None is the home directory."""
    size_policy: SizePolicy = "host"
    grace: float = GRACE_S
    """Seconds that a shell without its client is kept; 0 keeps none."""
    max_kept: int = MAX_KEPT
    record: bool = False
    recordings: Path | None = None
    """Directory of recordings; without one nothing can be recorded."""


def _nothing() -> None: ...


def _ignore(status: ExitStatus) -> None:
    del status


def _unrecorded(event: str, text: str, **data: object) -> None:
    del event, text, data


@dataclass
class _Hooks:
    on_change: Callable[[], None] = _nothing
    on_shared_end: Callable[[ExitStatus], None] = _ignore
    note: Note = _unrecorded


class TerminalService:
    """Implements attachments.Terminals; one per daemon, used in its loop."""

    def __init__(
        self,
        settings: TerminalSettings,
        environment: Environment,
        *,
        on_change: Callable[[], None] = _nothing,
        on_shared_end: Callable[[ExitStatus], None] = _ignore,
        note: Note = _unrecorded,
    ) -> None:
        """`on_change`: a snapshot would differ. `on_shared_end`: the shared program has ended."""
        self._settings = settings
        self._environment = environment
        self._hooks = _Hooks(on_change, on_shared_end, note)
        self._policy: SizePolicy = settings.size_policy
        self._record = settings.record
        self._command_ended = False
        self.shared: SharedTerminal | None = None
        self.kept = KeptShells(
            grace=settings.grace,
            limit=settings.max_kept,
            on_change=on_change,
            note=lambda event, text, owner: note(event, text, fingerprint=owner),
        )

    async def open(
        self, viewer: Viewer, spec: AttachmentSpec, grant: Grant, arrival: Arrival
    ) -> Attachment:
        """Attach an SSH client. Raises RefusedError or OSError with a message for it."""
        role = grant.role
        wants_shared = "shared" in (spec.landing, grant.landing.kind)
        if not wants_shared and role.can(Capability.SHELL):
            return self.kept.open(viewer, spec, arrival.fingerprint, grant.name)
        if not role.can(Capability.VIEW):
            raise RefusedError(f"your role ({role.name}) includes no terminal")
        return self.join(viewer, grant.name, types=role.can(Capability.TYPE))

    def kept_of(self, arrival: Arrival) -> list[str]:
        """Shells kept for this client's key, in the order of their numbers."""
        return self.kept.listed(arrival.fingerprint)

    def join(self, viewer: Viewer, name: str, *, types: bool, host: bool = False) -> SharedViewer:
        """Attach a viewer to the shared terminal, starting it if need be.

        Raises RefusedError or OSError.
        """
        shared = self.start_shared(viewer.size)
        if len(shared.viewers) >= MAX_VIEWERS:
            raise RefusedError(f"the shared terminal has {MAX_VIEWERS} viewers already")
        return shared.join(viewer, name, types=types, host=host)

    def start_shared(self, size: Size) -> SharedTerminal:
        """The shared terminal, started now if it was not. Raises RefusedError or OSError."""
        if self.shared is not None:
            return self.shared
        if self._command_ended:
            raise RefusedError("the shared command has ended")
        options = SharedOptions(self._policy, self._hooks.on_change, self._shared_ended)
        self.shared = SharedTerminal(self._program(), size, options)
        self._hooks.note("terminal.started", f"the shared terminal runs {self._command_line()}")
        if self._record:
            self.record(on=True)
        self._hooks.on_change()
        return self.shared

    def record(self, *, on: bool) -> None:
        """Record the shared terminal from now on, or stop. Raises ApiError."""
        directory = self._settings.recordings
        if on and directory is None:
            raise ApiError(409, "Cannot record", "no directory for recordings is configured")
        self._record = on
        shared = self.shared
        if shared is None:
            self._hooks.on_change()
            return
        if not on and shared.recording is not None:
            shared.stop_recording()
            self._hooks.note("terminal.recorded", "the recording of the shared terminal has ended")
        elif not on:
            return
        elif shared.recording is None and directory is not None:
            path = _recording_path(directory)
            try:
                _make_room(directory)
                recording = Recording(
                    path, shared.area.columns, shared.area.rows, title=self._command_line()
                )
            except OSError as error:
                raise ApiError(507, "Cannot record", f"{path}: {error.strerror}") from error
            shared.start_recording(recording)
            self._hooks.note("terminal.recording", f"the shared terminal is recorded to {path}")
        self._hooks.on_change()

    @property
    def records(self) -> bool:
        """Whether the shared terminal is, or will be, recorded."""
        return self._record

    def set_size_policy(self, policy: SizePolicy) -> None:
        """Change how the shared terminal's size is chosen, at once."""
        self._policy = policy
        if self.shared is not None:
            self.shared.set_policy(policy)

    def end(self, terminal_id: str) -> None:
        """Hang up on a terminal's program. Raises ApiError when there is none by this id."""
        if terminal_id != SHARED_ID:
            self.kept.end(terminal_id)
        elif self.shared is None:
            raise ApiError(404, "No such terminal", "the shared terminal is not running")
        else:
            self.shared.end()

    def close(self) -> None:
        """The daemon stops: hang up on every terminal."""
        self.kept.close()
        if self.shared is not None:
            self.shared.end()

    def snapshot(self) -> list[TerminalView]:
        """Terminals for the host API, the shared one first."""
        shared = self.shared
        mine = [] if shared is None else [self._model(shared)]
        return mine + self.kept.snapshot()

    def _model(self, shared: SharedTerminal) -> TerminalView:
        return TerminalView(
            id=SHARED_ID,
            kind="shared",
            owner="",
            title=shared.emulator.title,
            command=self._command_line(),
            started_at=shared.started_at,
            columns=shared.area.columns,
            rows=shared.area.rows,
            viewers=len(shared.viewers),
            typists=sum(viewer.can_type for viewer in shared.viewers),
            recording=shared.recording is not None,
        )

    def _command_line(self) -> str:
        command = self._settings.command
        return shlex.join(command) if command else self._environment.account.shell

    def _program(self) -> Program:
        fixed = {"TERM": SHARED_TERM, "COLORTERM": "truecolor", INSIDE_VARIABLE: SHARED_ID}
        env = self._environment.variables({}, fixed)
        if not self._settings.command:
            return self._environment.login(env)
        line = f"exec {shlex.join(self._settings.command)}"
        program = self._environment.command(line, env)
        return dataclasses.replace(program, cwd=self._settings.cwd or program.cwd)

    def _shared_ended(self, status: ExitStatus) -> None:
        self.shared = None
        self._command_ended = bool(self._settings.command)
        self._hooks.note("terminal.ended", "the shared terminal has ended")
        self._hooks.on_change()
        self._hooks.on_shared_end(status)


def _recording_path(directory: Path) -> Path:
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    return directory / f"{SHARED_ID}-{now}Z-{os.getpid()}.cast"


def _make_room(directory: Path) -> None:
    """Delete the oldest recordings above the limit."""
    if directory.is_dir():
        for path in sorted(directory.glob("*.cast"))[: -(MAX_RECORDINGS - 1)]:
            path.unlink(missing_ok=True)
