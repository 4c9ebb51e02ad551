"""A client program in a real terminal: its tty is a Pty, its window an emulator."""

import os

from uptui.core.terminal_stream import skim
from uptui.host.process.pty import Pty, Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.terminals.emulator import Emulator

FLOOD = 64 * 1024


class Tty:
    """Runs a program, answers its questions and shows what it shows."""

    def __init__(
        self, argv: list[str], columns: int = 80, rows: int = 24, cwd: str = "/", **env: str
    ) -> None:
        variables = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "HOME": "/nonexistent"}
        self.window = Emulator(columns, rows)
        self.raw = bytearray()
        self._seen = 0
        self.status: ExitStatus | None = None
        self.pty = Pty(
            Program(argv[0], argv, {**variables, **env}, cwd),
            size=Size(columns, rows),
            on_output=self._output,
            on_exit=self._exited,
        )

    @property
    def lines(self) -> list[str]:
        self._look()
        return ["".join(cell[1] for cell in row).rstrip() for row in self.window.page.grid]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def type(self, text: str) -> None:
        self.pty.write(text.encode())

    def resize(self, columns: int, rows: int) -> None:
        self._look()
        self.window.resize(columns, rows)
        self.pty.resize(Size(columns, rows))

    def close(self) -> None:
        """The window is closed: the client is hung up on."""
        self.pty.hang_up()

    def _output(self, data: bytes) -> None:
        self.raw += data

    def _look(self) -> None:
        """Show what has come; of a flood only the end, since nobody could have read the rest."""
        data, self._seen = bytes(self.raw[self._seen :]), len(self.raw)
        if len(data) > FLOOD:
            data = skim(data[:-FLOOD]) + data[-FLOOD:]
        self.window.feed(data)
        self.pty.write(self.window.answers())

    def _exited(self, status: ExitStatus) -> None:
        self.status = status
