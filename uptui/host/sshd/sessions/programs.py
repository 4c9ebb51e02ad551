"""What can run in a session channel: a program on pipes, one on a terminal, or an attachment."""

import signal
from typing import TYPE_CHECKING

from uptui.host.process.pty import Pty, Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.sshd.access_control import Arrival, Grant
from uptui.host.sshd.sessions.attachments import Attachment, AttachmentSpec, Terminals
from uptui.host.sshd.sessions.pump import PipedProcess
from uptui.host.sshd.sessions.runner import PtyRequest

if TYPE_CHECKING:
    from uptui.host.sshd.sessions.session import Session


def signal_number(name: str) -> int | None:
    """The number of an SSH signal name ("TERM"), or None when this system has no such signal."""
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        return None


class PipeRunner:
    """A command without a terminal; stderr stays apart."""

    def __init__(self, session: "Session", program: Program) -> None:
        self._process = PipedProcess(
            program,
            on_stdout=session.send,
            on_stderr=lambda data: session.send(data, stderr=True),
            on_output_end=session.end_output,
            on_exit=session.finish,
            on_full=session.hold_input,
            on_room=session.take_input,
            on_input_refused=session.refuse_input,
            on_held=session.held,
            cut_after=session.connection.settings.cut_output,
        )
        if session.paused:
            self._process.pause()

    def data_received(self, data: bytes) -> None:
        self._process.write(data)

    def eof_received(self) -> None:
        self._process.end_input()

    def output_unread(self) -> None:
        self._process.close_stdout()

    def pause_writing(self) -> None:
        self._process.pause()

    def resume_writing(self) -> None:
        self._process.resume()

    def signal(self, name: str) -> None:
        number = signal_number(name)
        if number is not None:
            self._process.signal(number)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._process.vanish()


class PtyRunner:
    """A program on a terminal of its own."""

    def __init__(self, session: "Session", program: Program, terminal: PtyRequest) -> None:
        self._pty = Pty(
            program,
            size=terminal.size,
            modes=terminal.modes,
            on_output=session.send,
            on_exit=session.finish,
            on_full=session.hold_input,
            on_room=session.take_input,
        )
        self.data_received = self._pty.write  # not a method: each key would pass one call more
        if session.paused:
            self._pty.pause()

    def eof_received(self) -> None:
        """A terminal has no end of input but Ctrl-D, which is the client's to send."""

    def pause_writing(self) -> None:
        self._pty.pause()

    def resume_writing(self) -> None:
        self._pty.resume()

    def resize(self, size: Size) -> None:
        self._pty.resize(size)

    def signal(self, name: str) -> None:
        if name == "BREAK":
            self._pty.send_break()
            return
        number = signal_number(name)
        if number is not None:
            self._pty.signal(number)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._pty.hang_up()


class AttachmentRunner:
    """An attachment to a terminal that outlives this channel; also the Viewer that it writes to."""

    def __init__(self, session: "Session", terminal: PtyRequest) -> None:
        self._session = session
        self._terminal = terminal
        self._attachment: Attachment | None = None
        self._early: list[bytes] = []
        self._forget = session.connection.on_regrant(self._regrant)

    async def open(
        self, terminals: Terminals, spec: AttachmentSpec, grant: Grant, arrival: Arrival
    ) -> None:
        """Attach. Raises RefusedError or OSError."""
        try:
            attachment = await terminals.open(self, spec, grant, arrival)
        except BaseException:
            self._forget()
            raise
        self._attachment = attachment
        early, self._early = self._early, []
        for data in early:
            attachment.type(data)

    # attachments.Viewer

    @property
    def size(self) -> Size:
        return self._terminal.size

    @property
    def paused(self) -> bool:
        return self._session.paused

    def write(self, data: bytes) -> None:
        self._session.send(data)

    def hold(self, *, held: bool) -> None:
        channel = self._session.channel
        if held:
            channel.pause_reading()
        else:
            channel.resume_reading()

    def finish(self, status: ExitStatus, message: str = "") -> None:
        self._attachment = None
        self._forget()
        if message:
            self._session.show(message)
        self._session.finish(status)

    # session.Runner

    def data_received(self, data: bytes) -> None:
        if self._attachment is not None:
            self._attachment.type(data)
        else:
            self._early.append(data)

    def eof_received(self) -> None:
        """A terminal has no end of input."""

    def pause_writing(self) -> None:
        """The attachment looks at `paused` before it writes."""

    def resume_writing(self) -> None:
        if self._attachment is not None:
            self._attachment.room()

    def resize(self, size: Size) -> None:
        if self._attachment is not None:
            self._attachment.resize(size)

    def signal(self, name: str) -> None:
        if self._attachment is not None:
            self._attachment.signal(name)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._forget()
        if self._attachment is not None:
            attachment, self._attachment = self._attachment, None
            attachment.vanish()

    def notice(self, text: str) -> None:
        """Show a line of ours."""
        if self._attachment is not None:
            self._attachment.notice(text)

    def end(self) -> None:
        """The host shows the client out: nothing of it is kept."""
        if self._attachment is not None:
            attachment, self._attachment = self._attachment, None
            attachment.end()

    def _regrant(self, grant: Grant) -> None:
        if self._attachment is not None:
            self._attachment.regrant(grant)
