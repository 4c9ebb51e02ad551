"""A client's own shell on a terminal that outlives the client.

While the client is there, output passes untouched; only its newest bytes are remembered, and no
emulation happens until somebody comes back.
"""

import asyncio
import signal as signals
import time
from collections.abc import Callable, Mapping
from typing import Final

from uptui.core.roles import Capability
from uptui.core.terminal_ring import Ring
from uptui.host.process.pty import Pty, Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.sshd.access_control import Grant
from uptui.host.sshd.sessions.attachments import Viewer
from uptui.host.terminals.emulator import Emulator
from uptui.host.terminals.replay import Rebuild
from uptui.host.terminals.screen import finish, given_back, redraw

RING_BYTES: Final = 128 * 1024
REFUSED_STATUS: Final = 77
LINE_S: Final = 2.5
"""How long the line about a resumed shell stays when nothing is drawn over it."""


def ago(seconds: float) -> str:
    """A duration in words, coarsely: "5 min", "3 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


class OwnShell:
    """A program on its own terminal, with a viewer or waiting for one; its viewer's Attachment."""

    def __init__(
        self,
        program: Program,
        size: Size,
        modes: Mapping[int, int],
        *,
        on_gone: Callable[["OwnShell"], None],
        on_end: Callable[["OwnShell"], None],
    ) -> None:
        """Start the program. Raises OSError.

        `on_gone` is told when the viewer is lost, `on_end` when the program has ended.
        """
        self.command = program.path
        self.started_at = time.time()
        self.detached_at: float | None = None
        self.ended = False
        self._viewer: Viewer | None = None
        self._ring = Ring(RING_BYTES)
        self._rebuild: Rebuild | None = None
        self._on_gone = on_gone
        self._on_end = on_end
        self._pty = Pty(
            program,
            size=size,
            modes=modes,
            on_output=self._output,
            on_exit=self._exited,
            on_full=lambda: self._hold(held=True),
            on_room=lambda: self._hold(held=False),
        )

    @property
    def size(self) -> Size:
        return self._pty.size

    @property
    def pid(self) -> int:
        return self._pty.pid

    @property
    def attached(self) -> bool:
        return self._viewer is not None

    def start(self, viewer: Viewer) -> None:
        """Show a new shell to its first viewer."""
        self._viewer = viewer

    def resume(self, viewer: Viewer) -> None:
        """Show a kept shell to a viewer that came back."""
        away = time.time() - (self.detached_at or time.time())
        self._viewer = viewer
        self.detached_at = None
        self._pty.pause()

        def show(emulator: Emulator) -> None:
            self._rebuild = None
            self._show(emulator, viewer, f"back in your shell, after {ago(away)}")

        self._rebuild = Rebuild(self._ring.replay(), self._pty.size, show)

    def hang_up(self) -> None:
        """End the shell."""
        self._pty.hang_up()

    # Attachment

    def type(self, data: bytes) -> None:
        self._pty.write(data)

    def resize(self, size: Size) -> None:
        self._pty.resize(size)

    def signal(self, name: str) -> None:
        if name == "BREAK":
            self._pty.send_break()
        elif hasattr(signals, f"SIG{name}"):
            self._pty.signal(int(signals.Signals[f"SIG{name}"]))

    def room(self) -> None:
        if self._rebuild is None:
            self._pty.resume()

    def regrant(self, grant: Grant) -> None:
        """A role without shells ends this one."""
        if grant.role.can(Capability.SHELL) or self._viewer is None:
            return
        viewer = self._viewer
        self.end()
        message = f"your role is {grant.role.name} now, which has no shell of its own"
        viewer.finish(ExitStatus(code=REFUSED_STATUS), message)

    def notice(self, text: str) -> None:
        if self._viewer is not None and not self._viewer.paused:
            self._viewer.write(f"\r\n[uptui] {text}\r\n".encode())

    def end(self) -> None:
        """The client is shown out and gets its terminal back."""
        if self._viewer is not None:
            self._viewer.write(given_back(self._ring.replay(), self.size.columns or 80))
        self._leave()
        self._pty.hang_up()

    def vanish(self) -> None:
        if self._viewer is None:
            return
        self._leave()
        self.detached_at = time.time()
        self._pty.resume()
        self._on_gone(self)

    def _leave(self) -> None:
        self._viewer = None
        if self._rebuild is not None:
            self._rebuild.cancel()
            self._rebuild = None

    # the program

    def _output(self, data: bytes) -> None:
        self._ring.append(data)
        if self._viewer is not None:
            self._viewer.write(data)
            if self._viewer.paused:
                self._pty.pause()

    def _hold(self, *, held: bool) -> None:
        if self._viewer is not None:
            self._viewer.hold(held=held)

    def _exited(self, status: ExitStatus) -> None:
        self.ended = True
        viewer, self._viewer = self._viewer, None
        if self._rebuild is not None:
            self._rebuild.cancel()
        self._on_end(self)
        if viewer is not None:
            viewer.finish(status)

    def _show(self, emulator: Emulator, viewer: Viewer, text: str) -> None:
        """Paint the screen, say one line, and let the program know the window."""
        size = viewer.size
        columns, rows = size.columns or 80, size.rows or 24
        emulator.resize(columns, rows)
        viewer.write(b"\x1b[%d;1H" % rows + b"\n" * rows + redraw(emulator))
        at = rows if emulator.cursor[1] < rows - 1 else 1
        line = f" uptui: {text} "[:columns].encode()
        viewer.write(b"\x1b[r\x1b[%d;1H\x1b[0;7m%b\x1b[0m" % (at, line) + finish(emulator))
        viewer.write(emulator.unfinished)
        self._pty.resize(size)
        self._pty.signal(signals.SIGWINCH)
        if not viewer.paused:
            self._pty.resume()
        asyncio.get_running_loop().call_later(
            LINE_S, self._wipe, viewer, emulator, self._ring.total
        )

    def _wipe(self, viewer: Viewer, emulator: Emulator, total: int) -> None:
        """Take the line away again, unless the program has drawn since."""
        if self._viewer is viewer and self._ring.total == total and not viewer.paused:
            viewer.write(redraw(emulator) + emulator.unfinished)
