"""One session channel: what the client asks for, the wait to be let in, then what serves it."""

import asyncio
import dataclasses
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import asyncssh

from uptui.core.roles import Capability
from uptui.errors import RefusedError
from uptui.host.process.guests import MARK
from uptui.host.process.processes import named
from uptui.host.process.pty import Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.sshd.access_control import Grant
from uptui.host.sshd.channels import CHANNEL_BUFFER, SessionChannel
from uptui.host.sshd.client import ChannelRecord, Connection, printable
from uptui.host.sshd.sessions import kept_command
from uptui.host.sshd.sessions.attachments import AttachmentSpec, Terminals
from uptui.host.sshd.sessions.environment import Environment
from uptui.host.sshd.sessions.programs import AttachmentRunner, PipeRunner, PtyRunner
from uptui.host.sshd.sessions.pump import Held
from uptui.host.sshd.sessions.runner import PtyRequest, Runner
from uptui.host.sshd.sessions.waiting import WaitingRoom
from uptui.protocol.activity import ChannelKind

REFUSED_STATUS: Final = 77
"""Exit status of what the host refused (EX_NOPERM of sysexits.h)."""
FAILED_STATUS: Final = 126
"""Exit status of what could not be started, as shells use it."""
GIVEN_UP_STATUS: Final = 130
"""Exit status after Ctrl-C while waiting, as shells use it."""
MAX_NOTED_COMMAND: Final = 2000
"""Characters of a command that go on record."""
_STDERR: Final = 1
_TAKES_EOW: Final = "OpenSSH"
"""What the names of clients that know eow@openssh.com begin with, as sshd has it."""

_log = logging.getLogger(__name__)


Serve = Callable[[Grant], Awaitable[None]]


class Session(asyncssh.SSHServerSession[bytes]):
    """Serves one session channel."""

    def __init__(
        self, connection: Connection, environment: Environment, terminals: Terminals | None
    ) -> None:
        self.connection = connection
        self.environment = environment
        self.terminals = terminals
        self.terminal: PtyRequest | None = None
        self.record: ChannelRecord | None = None
        self.paused = False
        """The channel's send buffer is full."""
        self._runner: Runner | None = None
        self._task: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._early_eof = False
        self._unread = False
        """The client has said that nobody reads our output."""
        self._input_full = False
        self._waiting: WaitingRoom | None = None
        self._forget: list[Callable[[], None]] = []
        self._over = False

    # What the client asks for

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        assert isinstance(chan, SessionChannel)
        self.channel = chan
        chan.on_client_close = self._closed_by_client
        chan.on_unread = self._output_unread
        chan.set_write_buffer_limits(CHANNEL_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._vanish(exc)
        if self.record is not None:
            self.record.release()

    def pty_requested(
        self,
        term_type: str,
        term_size: tuple[int, int, int, int],
        term_modes: Mapping[int, int],
    ) -> bool:
        if not self.connection.limits.pty:
            return False
        self.terminal = PtyRequest(term_type, Size(*term_size), dict(term_modes))
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self.terminal is None:
            return
        self.terminal.size = Size(width, height, pixwidth, pixheight)
        if isinstance(self._runner, PtyRunner | AttachmentRunner):
            self._runner.resize(self.terminal.size)

    def shell_requested(self) -> bool:
        return self._begin("shell", "shell", self._serve_shell)

    def exec_requested(self, command: str) -> bool:
        asked = kept_command.parse(command)

        async def serve(grant: Grant) -> None:
            if grant.limits.command is not None:
                self._serve_forced(grant.limits.command, command)
            elif asked is not None and self.terminals is not None:
                await self._serve_kept(self.terminals, asked, grant)
            else:
                self._serve_command(command)

        return self._begin("exec" if asked is None else "shell", command, serve)

    def subsystem_requested(self, subsystem: str) -> bool:
        services = self.connection.services
        if services is None or subsystem not in services.subsystem_names:
            return False

        async def serve(grant: Grant) -> None:
            assert self.record is not None
            if grant.limits.command not in {None, f"internal-{subsystem}"}:
                self._serve_forced(grant.limits.command or "", subsystem)
                return
            served = services.subsystem(subsystem, self.record, self.channel)
            if served is None:
                raise RefusedError(f"no subsystem {subsystem!r} here")
            self._run(served)

        return self._begin("files", subsystem, serve)

    def break_received(self, msec: int) -> bool:
        del msec
        if isinstance(self._runner, PtyRunner | AttachmentRunner):
            self._runner.signal("BREAK")
            return True
        return False

    def signal_received(self, signal: str) -> None:
        if isinstance(self._runner, PtyRunner | PipeRunner | AttachmentRunner):
            self._runner.signal(signal)

    # What the channel brings

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._runner is not None:
            self._runner.data_received(data)
        elif self._waiting is not None and self.terminal is not None:
            self._waiting.type(data)
        else:
            self._early.append(data)
            self.channel.pause_reading()
        if self.record is not None:
            self.record.count_received(len(data))

    def eof_received(self) -> bool:
        if self._runner is not None:
            self._runner.eof_received()
        else:
            self._early_eof = True
        return True  # what the session sends may go on

    def _output_unread(self) -> None:
        """A program on pipes learns of it as it would from a pipe; a terminal, as with sshd, goes
        on: its user may still be typing."""
        self._unread = True
        if isinstance(self._runner, PipeRunner):
            self.channel.drop_output()
            self._runner.output_unread()

    def pause_writing(self) -> None:
        self.paused = True
        if self._runner is not None:
            self._runner.pause_writing()

    def resume_writing(self) -> None:
        self.paused = False
        if self._runner is not None:
            self._runner.resume_writing()

    # Used by what runs

    def send(self, data: bytes, *, stderr: bool = False) -> None:
        """Send output, unless the channel is closing."""
        if self._over or self.channel.left:
            return
        try:
            self.channel.write(data, _STDERR if stderr else None)
        except BrokenPipeError:
            return
        if self.record is not None:
            self.record.count_sent(len(data))

    def show(self, text: str) -> None:
        """Show a line of our own: in the terminal, or on stderr where there is none."""
        if self.terminal is None:
            self.send(f"uptui: {text}\n".encode(), stderr=True)
        else:
            self.send(f"\r\n[uptui] {text}\r\n".encode())

    def hold_input(self) -> None:
        """The program does not read: take no more from the client."""
        self._input_full = True
        self.channel.pause_reading()

    def take_input(self) -> None:
        """The program reads again."""
        self._input_full = False
        self.channel.resume_reading()

    def refuse_input(self) -> None:
        """The program has closed its input: a client that can be told sends no more."""
        arrival = self.connection.arrival
        if not self._over and arrival is not None and arrival.program.startswith(_TAKES_EOW):
            self.channel.refuse_input()

    def finish(self, status: ExitStatus) -> None:
        """Everything is sent: end the channel with `status`."""
        if not self._over:
            self._end_notices()
            self.channel.finish(status)
            self._over = True

    def held(self, held: Held) -> None:
        """What ran has exited; others hold its output open, and may send more unless it is cut."""
        if self._over or self.record is None:
            return
        self.channel.tell_status(held.status)
        self.record.held_by = printable(named(held.by)) or "others"
        command = printable(self.record.detail, MAX_NOTED_COMMAND)
        event = "session.cut" if held.cut else "session.held"
        text = f"{printable(command)} has ended; its output is held by {self.record.held_by}"
        text += ", and was cut: what they write is dropped" if held.cut else ""
        self.connection.access_control.note(self.connection.client_id, event, text, command=command)

    def end_output(self) -> None:
        """No more output will come, though the program still runs."""
        if not self._over and not self.channel.is_closing():
            self.channel.write_eof()

    def refuse(self, message: str, status: int = REFUSED_STATUS) -> None:
        """Say why not, and end the channel."""
        self.show(printable(message))
        self.finish(ExitStatus(code=status))

    def close(self, message: str) -> None:
        """End at once, telling the client `message`; what runs is hung up on."""
        if self._over:
            return
        if isinstance(self._runner, AttachmentRunner):
            self._runner.end()  # first: it gives the client's terminal back
        self.refuse(message)
        self._vanish(None)

    # Being let in

    def _begin(self, kind: ChannelKind, detail: str, serve: Serve) -> bool:
        loop = asyncio.get_running_loop()
        try:
            self.record = self.connection.open_channel(kind, detail, self.close)
        except RefusedError as error:
            loop.call_soon(self.refuse, str(error))
            return True
        self._task = loop.create_task(self._serve_when_granted(detail, serve))
        self._task.add_done_callback(self._served)
        return True

    async def _serve_when_granted(self, detail: str, serve: Serve) -> None:
        connection = self.connection
        if not connection.decided:
            assert self.record is not None
            kind = self.record.kind
            connection.wants(kind if detail == kind else f"{kind}: {detail}")
            await self._wait(kind)
        grant = await connection.granted()
        if self.terminal is not None and not grant.limits.pty:
            raise RefusedError("your key may have no terminal here")
        self.channel.widen(connection.settings.limits.window)
        await serve(grant)

    async def _wait(self, kind: ChannelKind) -> None:
        host = self.connection.settings.host_name or socket.gethostname()
        if kind == "files":
            await self.connection.granted()
            return
        self._waiting = WaitingRoom(host, self.show, self._give_up)
        admitted = False
        try:
            await self.connection.granted()
            admitted = True
        finally:
            typed = self._waiting.leave(admitted=admitted)
            self._waiting = None
            if typed:
                self._early.insert(0, typed)

    def _give_up(self) -> None:
        self.show("given up")
        self.connection.gave_up = True
        self.finish(ExitStatus(code=GIVEN_UP_STATUS))

    def _served(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, RefusedError):
            self._note_refusal(str(error))
            self.refuse(str(error))
        elif isinstance(error, OSError):
            self.refuse(f"cannot start: {error.strerror or error}", FAILED_STATUS)
        elif error is not None:
            _log.error("session of %s failed", self.connection.client_id, exc_info=error)
            self.refuse("the host failed to start this: see its log", FAILED_STATUS)

    def _note_refusal(self, why: str) -> None:
        """Put on record what somebody who is in may not do."""
        if self.connection.grant is None or self.record is None:
            return
        kind, detail = self.record.kind, printable(self.record.detail, MAX_NOTED_COMMAND)
        text = f"refused {kind if detail == kind else f'{kind} {detail}'}: {why}"
        self.connection.access_control.note(
            self.connection.client_id, "session.refused", text, level="warning", command=detail
        )

    # Serving

    async def _serve_shell(self, grant: Grant) -> None:
        connection, landing = self.connection, grant.landing
        if landing.kind == "command":
            connection.access_control.note(
                connection.client_id, "session.command", f"runs {printable(landing.command)}"
            )
            self._start(self.environment.command(landing.command, self._variables()))
            return
        shared = landing.kind == "shared" or not connection.can(Capability.SHELL)
        if shared:
            connection.check(Capability.VIEW)
            self._become("terminal", "shared terminal")
        connection.access_control.note(
            connection.client_id,
            "session.shared" if shared else "session.shell",
            "joins the shared terminal" if shared else "opens a shell",
        )
        program = self.environment.login(self._variables())
        if self.terminals is not None and self.terminal is not None:
            await self._take_seat(self.terminals, program, grant, shared=shared)
        elif shared:
            raise RefusedError("this is a shared terminal, which needs a terminal: use ssh -t")
        else:
            self._start(program)

    async def _serve_kept(
        self, terminals: Terminals, asked: kept_command.Asked, grant: Grant
    ) -> None:
        connection = self.connection
        connection.check(Capability.SHELL)
        assert connection.arrival is not None
        kept = terminals.kept_of(connection.arrival)
        answer = kept_command.answer(kept, asked, terminal=self.terminal is not None)
        if isinstance(answer, int):
            program = self.environment.login(self._variables())
            await self._take_seat(terminals, program, grant, shared=False, take_up=answer)
            return
        lines = answer if self.terminal is None else answer.replace("\n", "\r\n")
        self.send(lines.encode())
        self.finish(ExitStatus(code=0 if kept else 1))

    async def _take_seat(
        self,
        terminals: Terminals,
        program: Program,
        grant: Grant,
        *,
        shared: bool,
        take_up: int | None = None,
    ) -> None:
        assert self.terminal is not None
        assert self.connection.arrival is not None
        terminal = self.terminal
        spec = AttachmentSpec(
            landing="shared" if shared else "shell",
            program=self._of_guest(program),
            term=terminal.term,
            size=terminal.size,
            modes=terminal.modes,
            take_up=take_up,
        )
        attachment = AttachmentRunner(self, terminal)
        self._run(attachment)
        await attachment.open(terminals, spec, grant, self.connection.arrival)

    def _serve_command(self, command: str) -> None:
        connection = self.connection
        assert self.record is not None
        if connection.services is not None:
            served = connection.services.command(command, self.record, self.channel)
            if served is not None:
                self._become("files", printable(command))
                self._run(served)
                return
        connection.check(Capability.EXEC)
        connection.access_control.note(
            connection.client_id,
            "session.exec",
            f"runs {printable(command)}",
            command=printable(command, MAX_NOTED_COMMAND),
        )
        self._start(self.environment.command(command, self._variables()))

    def _serve_forced(self, command: str, asked: str) -> None:
        """What the line that lists the key says, whatever was asked for."""
        connection = self.connection
        self._become("exec", printable(command))
        text = f"runs {printable(command)}, where {printable(asked)} was asked for"
        connection.access_control.note(connection.client_id, "session.command", text)
        variables = self._variables() | {"SSH_ORIGINAL_COMMAND": asked}
        self._start(self.environment.command(command, variables))

    def _of_guest(self, program: Program) -> Program:
        connection = self.connection
        assert connection.arrival is not None
        assert connection.grant is not None
        assert self.record is not None
        run = connection.programs.begin(
            connection.arrival.fingerprint,
            connection.client_id,
            connection.grant.name,
            printable(self.record.detail),
        )
        return dataclasses.replace(program, guest=run, env={**program.env, MARK: run.mark})

    def _start(self, program: Program) -> None:
        program = self._of_guest(program)
        if self.terminal is None:
            self._run(PipeRunner(self, program))
        else:
            self._run(PtyRunner(self, program, self.terminal))

    def _run(self, runner: Runner) -> None:
        self._runner = runner
        self._forget.append(self.connection.on_notice(self._notice))
        early, self._early = self._early, []
        for data in early:
            runner.data_received(data)
        if self._early_eof:
            runner.eof_received()
        if self._unread:
            self._output_unread()
        if not self._input_full:
            self.channel.resume_reading()

    def _become(self, kind: ChannelKind, detail: str) -> None:
        assert self.record is not None
        self.record.kind = kind
        self.record.detail = detail

    def _variables(self) -> dict[str, str]:
        fixed = self.connection.variables()
        if self.terminal is not None:
            fixed["TERM"] = printable(self.terminal.term) or "dumb"
        if self.channel.display is not None:
            fixed["DISPLAY"] = self.channel.display
        asked = self.channel.get_environment_bytes()
        return self.environment.variables(
            {os.fsdecode(name): os.fsdecode(value) for name, value in asked.items()}, fixed
        )

    # Ending

    def _notice(self, text: str) -> None:
        if isinstance(self._runner, AttachmentRunner):
            self._runner.notice(text)
        elif self.terminal is not None:
            self.show(text)

    def _closed_by_client(self) -> None:
        self._vanish(None)

    def _vanish(self, exc: Exception | None) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()
        self._drop_runner(exc)

    def _drop_runner(self, exc: Exception | None) -> None:
        self._end_notices()
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.connection_lost(exc)

    def _end_notices(self) -> None:
        for forget in self._forget:
            forget()
        self._forget.clear()
