"""A real terminal shown one of the host's: raw mode, ^] leaves, and it is always restored."""

import asyncio
import contextlib
import os
import select
import termios
import tty
from collections.abc import Generator
from pathlib import Path
from typing import Final

from uptui.client.shown import shown_on
from uptui.client.terminal import AttachedTerminal, open_terminal
from uptui.errors import ApiError
from uptui.protocol.terminal import INSIDE_VARIABLE, SHARED_ID, TerminalEnded
from uptui.runtime.terminal_watch import RESTORE, TerminalWatch

LEAVE_KEY: Final = b"\x1d"
"""^]"""
READ_SIZE: Final = 32 * 1024
MAX_KEYS: Final = 256
"""Reads of the tty that wait for the host; more are dropped."""
SIZE_CHECK_S: Final = 0.2
"""How often the window's size is looked at. No signal handler: the TUI may have its own."""
LEAVE_S: Final = 2.0
"""How long the host may take to say goodbye."""


async def attach(
    socket: Path, *, terminal: str = SHARED_ID, watch: bool = False, stdin: int = 0, stdout: int = 1
) -> TerminalEnded:
    """Show a terminal of the host on the tty `stdin`/`stdout` until it ends or ^] is typed.

    Raises NotRunningError, EndedError when the tty is gone or a signal ends us, ApiError inside
    that same terminal, and OSError when stdin or stdout is no tty. The tty is as before when this
    returns, raises or is cancelled.
    """
    if os.environ.get(INSIDE_VARIABLE) == terminal:
        raise ApiError(409, "Cannot attach", f"this is the {terminal} terminal already")
    size = os.get_terminal_size(stdout)
    with shown_on(stdin, stdout) as seen:
        attachment = await open_terminal(
            socket, columns=size.columns, rows=size.lines, terminal=terminal, watch=watch
        )
        try:
            with _raw(stdin):
                shared = terminal == SHARED_ID
                return await _Window(attachment, seen, stdin, stdout, shared=shared).show()
        finally:
            await attachment.close()


@contextlib.contextmanager
def _raw(fd: int) -> Generator[None]:
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Window:
    """Bytes between the tty and the attachment."""

    def __init__(
        self,
        attachment: AttachedTerminal,
        seen: TerminalWatch,
        stdin: int,
        stdout: int,
        *,
        shared: bool,
    ) -> None:
        """`shared`: the host gives the screen back; a shell of one person leaves it as it is."""
        self._shared = shared
        self._attachment = attachment
        self._seen = seen
        self._stdin = stdin
        self._stdout = stdout
        self._loop = asyncio.get_running_loop()
        self._keys: asyncio.Queue[bytes] = asyncio.Queue(MAX_KEYS)

    async def show(self) -> TerminalEnded:
        """Until the end; a tty that takes no output holds the host back, not this loop."""
        given_back = False
        self._loop.add_reader(self._stdin, self._read)
        tasks = [self._loop.create_task(each) for each in (self._type(), self._follow_size())]
        try:
            async for data in self._attachment.output():
                await self._loop.run_in_executor(None, self._write, data)
            given_back = self._attachment.ended and self._shared
            return self._attachment.end
        finally:
            self._loop.remove_reader(self._stdin)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not given_back:
                self._write(RESTORE)

    def _read(self) -> None:
        try:
            data = os.read(self._stdin, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._stdin)
            self._seen.gone()
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._keys.put_nowait(data)

    async def _type(self) -> None:
        while True:
            before, leave, _ = (await self._keys.get()).partition(LEAVE_KEY)
            if before:
                await self._attachment.type(before)
            if leave:
                await self._attachment.leave()
                await asyncio.sleep(LEAVE_S)
                await self._attachment.close()
                return

    async def _follow_size(self) -> None:
        size = os.get_terminal_size(self._stdout)
        while True:
            await asyncio.sleep(SIZE_CHECK_S)
            now = os.get_terminal_size(self._stdout)
            if now != size:
                size = now
                self._attachment.resize(size.columns, size.lines)

    def _write(self, data: bytes) -> None:
        """The whole of `data`."""
        try:
            while data:
                try:
                    data = data[os.write(self._stdout, data) :]
                except BlockingIOError:
                    select.select([], [self._stdout], [])
        except OSError:
            self._seen.gone()
