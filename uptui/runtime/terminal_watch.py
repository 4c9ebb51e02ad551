"""Notices that a terminal is gone, or that we are told to end, and sees to it that we do in time.

The kernel tells a terminal's end to whoever polls it (POLLHUP), whatever is read or written
meanwhile, and also where no SIGHUP arrives: ignored since `nohup`, or not from our own session.
A thread waits for that, so an event loop that is held up (a terminal that takes no output) cannot
keep the process alive. Knows neither what is shown nor how it leaves.
"""

import os
import select
import signal
import termios
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from uptui.protocol.terminal import RESET

SIGNALLED: Final = 128
"""Added to a signal's number: the exit code of who ends because of it, as shells have it."""
HUNG_UP: Final = SIGNALLED + signal.SIGHUP
"""The exit code of who ends because its terminal is gone."""
ENDING: Final = (signal.SIGHUP, signal.SIGTERM)
"""Signals that tell us to end."""
END_S: Final = 1.0
"""Seconds for leaving in good order; then the process ends as it stands."""
RESTORE: Final = RESET + b"\x1b[?2048l\x1b[<u\x1b[23;2t\x1b[?1049l\r\n"
"""What makes a terminal usable again that a program has left as it was."""
_SIGNS: Final = select.POLLHUP | select.POLLERR


class TerminalWatch:
    """Watches from its making until `close`; the terminal's modes then are those to return to."""

    def __init__(
        self, stdin: int, stdout: int, leave: Callable[[int], None], *, gone: int = HUNG_UP
    ) -> None:
        """`leave` is called once, in a thread of its own, with the exit code to end with: `gone`
        when the terminal is gone."""
        self._stdin = stdin
        self._stdout = stdout
        self._leave = leave
        self._code_when_gone = gone
        self._modes: list[Any] | None = None
        with suppress(termios.error):
            self._modes = termios.tcgetattr(stdin)
        self._wake, self._waker = os.pipe()
        self.closed = False
        self.code: int | None = None
        """What we end with; None while nothing has happened."""
        threading.Thread(target=self._run, name="terminal-watch", daemon=True).start()

    def end(self, code: int) -> None:
        """End with this exit code; may be called from any thread and any signal handler."""
        if self.code is None and not self.closed:
            self.code = code
            os.write(self._waker, b"\0")

    def gone(self) -> None:
        """Reading or writing has shown that the terminal is gone."""
        self.end(self._code_when_gone)

    def close(self) -> None:
        """Watch no more."""
        self.closed = True
        os.write(self._waker, b"\0")

    @contextmanager
    def listening(self) -> Generator[None]:
        """Signals of ENDING end us, as long as this lasts and the thread may handle signals."""
        before: dict[signal.Signals, Any] = {}
        try:
            for number in ENDING:
                with suppress(ValueError):  # not in the main thread
                    before[number] = signal.signal(number, self._signalled)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def lost(self) -> bool:
        """Whether the terminal is gone."""
        return _gone((self._stdin, self._stdout), 0)

    def _signalled(self, number: int, _frame: object) -> None:
        self.end(SIGNALLED + number)

    def _run(self) -> None:
        if _gone((self._stdin, self._stdout), None, self._wake) and self.code is None:
            self.code = self._code_when_gone
        if not self.closed and self.code is not None:
            self._leave(self.code)
            time.sleep(END_S)
        if not self.closed and self.code is not None:
            self._restore()
            os._exit(self.code)
        os.close(self._wake)
        os.close(self._waker)

    def _restore(self) -> None:
        """As far as that waits for nobody, and also in the background."""
        if self._modes is None:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
        with suppress(termios.error):
            termios.tcsetattr(self._stdin, termios.TCSANOW, self._modes)
        with suppress(OSError):
            if select.select((), (self._stdout,), (), 0)[1]:
                os.write(self._stdout, RESTORE)


def _gone(fds: Sequence[int], seconds: float | None, wake: int | None = None) -> bool:
    """Wait until a terminal, or the reader of a pipe, is gone; False when `seconds` are over or
    `wake` can be read."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, 0)
    if wake is not None:
        poll.register(wake, select.POLLIN)
    events = poll.poll(None if seconds is None else seconds * 1000)
    return any(event & _SIGNS for fd, event in events if fd != wake)
