"""The terminal that the screens are on: the app ends when that is gone or when it is told to.

Textual alone reads on for ever at the end of its input, takes every SIGCONT for the end of a
suspension (the kernel sends one with each hang-up), and waits for ever for a writer that failed.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from uptui.runtime.terminal_watch import ENDING, SIGNALLED, TerminalWatch


class Driver(LinuxDriver):
    """Ends the app with 128 and the number of the signal; 129 when the terminal is gone."""

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)  # pyright: ignore[reportUnknownMemberType]
        self._showing = False
        screen = sys.__stderr__
        assert screen is not None
        self._watch = TerminalWatch(self.fileno, screen.fileno(), self._leave)
        self._file = cast("TextIO", _Output(screen, self._watch.gone))
        for number in ENDING:
            signal.signal(number, self._signalled)

    def start_application_mode(self) -> None:
        self._showing = True
        super().start_application_mode()

    def stop_application_mode(self) -> None:
        super().stop_application_mode()
        self._showing = False

    def resume_application_mode(self) -> None:
        if self._watch.code is not None:
            return
        if self._showing:  # a SIGCONT without a suspension; not here, in a signal handler
            self._loop.call_soon_threadsafe(self._start_over)
        else:
            super().resume_application_mode()

    def run_input_thread(self) -> None:
        try:
            super().run_input_thread()
        except OSError:
            self._watch.gone()

    def _start_over(self) -> None:
        """Whoever stopped us may have used the terminal meanwhile."""
        if self._showing and self._watch.code is None:
            self.suspend_application_mode()
            self.start_application_mode()
            self._app.refresh(layout=True)

    def _signalled(self, number: int, _frame: object) -> None:
        if not self._showing:  # another program has the terminal, or the app is over
            sys.exit(SIGNALLED + number)
        self._watch.end(SIGNALLED + number)

    def _leave(self, code: int) -> None:
        if self._watch.lost():
            self.exit_event.set()  # else the input is read, and read again, while the app leaves
        with suppress(RuntimeError):  # the app is over
            self._loop.call_soon_threadsafe(self._app.exit, None, code)


class _Output:
    """The stream that a thread of Textual writes to; what can no longer be written is dropped."""

    def __init__(self, stream: TextIO, lost: Callable[[], None]) -> None:
        self._stream = stream
        self._lost = lost

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError:
            self._lost()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lost()
