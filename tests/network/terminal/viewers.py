"""Viewers whose window is a second emulator, so that tests see what a person would."""

import asyncio
import os
import time
from collections.abc import Callable

from uptui.host.process.pty import Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.terminals.emulator import Emulator

PATIENCE_S = 60.0


class Person:
    """A seats.Viewer in front of a terminal window."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.size = Size(columns, rows)
        self.window = Emulator(columns, rows)
        self.paused = False
        self.received = bytearray()
        self.status: ExitStatus | None = None
        self.message = ""
        self.held = False

    def write(self, data: bytes) -> None:
        assert self.status is None, "nothing comes after the end"
        self.received += data
        self.window.feed(data)

    def hold(self, *, held: bool) -> None:
        self.held = held

    def finish(self, status: ExitStatus, message: str = "") -> None:
        self.status = status
        self.message = message

    def resize(self, columns: int, rows: int) -> Size:
        self.size = Size(columns, rows)
        self.window.resize(columns, rows)
        return self.size

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        return ["".join(cell[1] for cell in row).rstrip() for row in self.window.page.grid]


def program(*argv: str, **env: str) -> Program:
    variables = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    return Program(
        f"/usr/bin/{argv[0]}", argv, {**variables, "HOME": "/tmp", **env}, env.get("HOME", "/tmp")
    )


def shell(prompt: str = "$ ") -> Program:
    return program("bash", "--norc", "--noprofile", PS1=prompt, HISTFILE="/dev/null")


async def until(condition: Callable[[], object], what: object = "") -> None:
    """Wait for something to come true, and say what did not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {PATIENCE_S} s: {what() if callable(what) else what}")
        await asyncio.sleep(0.01)


PROGRAMS: dict[str, tuple[tuple[str, ...], str, bytes, str]] = {
    "vim": (("vim.tiny", "-u", "NONE", "text"), "line 7", b"5jihello \x1b", "hello line"),
    "less": (("less", "text"), "line 7", b"  ", "line 50"),
    "htop": (("htop",), "Mem", b"", "Load"),
    "nano": (("nano", "text"), "line 7", b"abc\x1b[B", "abcline"),
    "tmux": (
        ("tmux", "-f", "/dev/null", "new", "bash --norc", ";", "set", "destroy-unattached", "on"),
        "[0]",
        b"\x02%seq 100 130\r",
        "130",
    ),
}
"""Name, what to run, what it shows first, what to type, and what is seen then."""
