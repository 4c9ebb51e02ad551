"""One session channel: what the client asks for, the wait to be let in, then what serves it."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import asyncssh

from uptui.core.roles import Capability
from uptui.errors import RefusedError
from uptui.host.gate import Grant
from uptui.host.pty import Size
from uptui.host.spawn import ExitStatus, Program
from uptui.host.ssh.channels import CHANNEL_BUFFER, SessionChannel
from uptui.host.ssh.connection import ChannelRecord, Connection, printable
from uptui.host.ssh.environment import Environment
from uptui.host.ssh.programs import PipeRunner, PtyRunner, SeatRunner
from uptui.host.ssh.seats import SeatSpec, Terminals
from uptui.host.ssh.waiting import WaitingRoom
from uptui.protocol.host_api import ChannelKind

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


class Runner(Protocol):
    """Whatever serves the channel once it is let in."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


Serve = Callable[[Grant], Awaitable[None]]


class Terminal:
    """What the client said about its terminal."""

    def __init__(self, term: str, size: Size, modes: Mapping[int, int]) -> None:
        self.term = term
        self.size = size
        self.modes = modes


class Session(asyncssh.SSHServerSession[bytes]):
    """Serves one session channel."""

    def __init__(
        self, connection: Connection, environment: Environment, terminals: Terminals | None
    ) -> None:
        self.connection = connection
        self.environment = environment
        self.terminals = terminals
        self.terminal: Terminal | None = None
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
        self.terminal = Terminal(term_type, Size(*term_size), dict(term_modes))
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self.terminal is None:
            return
        self.terminal.size = Size(width, height, pixwidth, pixheight)
        if isinstance(self._runner, PtyRunner | SeatRunner):
            self._runner.resize(self.terminal.size)

    def shell_requested(self) -> bool:
        return self._begin("shell", "shell", self._serve_shell)

    def exec_requested(self, command: str) -> bool:
        async def serve(grant: Grant) -> None:
            del grant
            self._serve_command(command)

        return self._begin("exec", command, serve)

    def subsystem_requested(self, subsystem: str) -> bool:
        services = self.connection.services
        if services is None or subsystem not in services.subsystem_names:
            return False

        async def serve(grant: Grant) -> None:
            del grant
            assert self.record is not None
            served = services.subsystem(subsystem, self.record, self.channel)
            if served is None:
                raise RefusedError(f"no subsystem {subsystem!r} here")
            self._run(served)

        return self._begin("files", subsystem, serve)

    def break_received(self, msec: int) -> bool:
        del msec
        if isinstance(self._runner, PtyRunner | SeatRunner):
            self._runner.signal("BREAK")
            return True
        return False

    def signal_received(self, signal: str) -> None:
        if isinstance(self._runner, PtyRunner | PipeRunner | SeatRunner):
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
        self.refuse(message)
        if isinstance(self._runner, SeatRunner):
            self._runner.end()
        self._drop_runner(None)

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
        self.connection.gate.note(
            self.connection.client_id, "session.refused", text, level="warning", command=detail
        )

    # Serving

    async def _serve_shell(self, grant: Grant) -> None:
        connection, landing = self.connection, grant.landing
        if landing.kind == "command":
            connection.gate.note(
                connection.client_id, "session.command", f"runs {printable(landing.command)}"
            )
            self._start(self.environment.command(landing.command, self._variables()))
            return
        shared = landing.kind == "shared" or not connection.can(Capability.SHELL)
        if shared:
            connection.check(Capability.VIEW)
            self._become("terminal", "shared terminal")
        connection.gate.note(
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

    async def _take_seat(
        self, terminals: Terminals, program: Program, grant: Grant, *, shared: bool
    ) -> None:
        assert self.terminal is not None
        assert self.connection.arrival is not None
        terminal = self.terminal
        spec = SeatSpec(
            landing="shared" if shared else "shell",
            program=program,
            term=terminal.term,
            size=terminal.size,
            modes=terminal.modes,
        )
        seat = SeatRunner(self, terminal)
        self._run(seat)  # before it is seated: it may ask its user something first
        await seat.open(terminals, spec, grant, self.connection.arrival)

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
        connection.gate.note(
            connection.client_id,
            "session.exec",
            f"runs {printable(command)}",
            command=printable(command, MAX_NOTED_COMMAND),
        )
        self._start(self.environment.command(command, self._variables()))

    def _start(self, program: Program) -> None:
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
        connection = self.connection
        origin, (address, port) = connection.origin, connection.server_address
        fixed = {
            "SSH_CLIENT": f"{origin.client_host} {origin.client_port} {port}",
            "SSH_CONNECTION": f"{origin.client_host} {origin.client_port} {address} {port}",
        }
        if self.terminal is not None:
            fixed["TERM"] = printable(self.terminal.term) or "dumb"
        if self.channel.display is not None:
            fixed["DISPLAY"] = self.channel.display
        agent = connection.services.agent_path if connection.services is not None else None
        if agent is not None:
            fixed["SSH_AUTH_SOCK"] = agent
        asked = self.channel.get_environment_bytes()
        return self.environment.variables(
            {os.fsdecode(name): os.fsdecode(value) for name, value in asked.items()}, fixed
        )

    # Ending

    def _notice(self, text: str) -> None:
        if isinstance(self._runner, SeatRunner):
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
