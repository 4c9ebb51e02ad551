"""A real terminal shown one of the host's: raw mode, ^] leaves, and it is always restored."""

import asyncio
import contextlib
import os
import select
import signal
import termios
import tty
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from uptui.client.terminal import Attachment, open_terminal
from uptui.errors import ApiError
from uptui.protocol.terminal import INSIDE_VARIABLE, SHARED_ID, End

LEAVE_KEY: Final = b"\x1d"
"""^]"""
READ_SIZE: Final = 32 * 1024
MAX_KEYS: Final = 256
"""Reads of the tty that wait for the host; more are dropped."""
SIZE_CHECK_S: Final = 0.2
"""How often the window's size is looked at. No signal handler: the TUI may have its own."""
LEAVE_S: Final = 2.0
"""How long the host may take to say goodbye."""
RESTORE: Final = (
    b"\x1b[!p\x1b[?9;1000;1002;1003;1004;1005;1006;1015;2004;1l\x1b>\x1b[?7h\x1b[?25h"
    b"\x1b[0m\x1b[0 q\x1b[>4m\x1b[?1049l\r\n"
)
"""Sent to the tty when the host went away without giving the screen back."""


async def attach(
    socket: Path, *, terminal: str = SHARED_ID, watch: bool = False, stdin: int = 0, stdout: int = 1
) -> End:
    """Show a terminal of the host on the tty `stdin`/`stdout` until it ends or ^] is typed.

    Raises NotRunningError, ApiError inside that same terminal, and OSError when stdin or stdout is
    no tty. The tty is as before when this returns, raises or is cancelled.
    """
    if os.environ.get(INSIDE_VARIABLE) == terminal:
        raise ApiError(409, "Cannot attach", f"this is the {terminal} terminal already")
    size = os.get_terminal_size(stdout)
    attachment = await open_terminal(
        socket, columns=size.columns, rows=size.lines, terminal=terminal, watch=watch
    )
    try:
        async with _raw(stdin):
            return await _Window(attachment, stdin, stdout).show()
    finally:
        await attachment.close()


@asynccontextmanager
async def _raw(fd: int) -> AsyncGenerator[None]:
    """The tty in raw mode; SIGTERM and SIGHUP cancel what runs inside, so it is restored."""
    before = termios.tcgetattr(fd)
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    old: dict[int, Any] = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
            handler = signal.getsignal(number)
            loop.add_signal_handler(number, task.cancel)
            old[number] = handler
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for number, handler in old.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler or signal.SIG_DFL)


class _Window:
    """Bytes between the tty and the attachment."""

    def __init__(self, attachment: Attachment, stdin: int, stdout: int) -> None:
        self._attachment = attachment
        self._stdin = stdin
        self._stdout = stdout
        self._loop = asyncio.get_running_loop()
        self._keys: asyncio.Queue[bytes] = asyncio.Queue(MAX_KEYS)

    async def show(self) -> End:
        """Until the end; a tty that takes no output holds the host back, not this loop."""
        given_back = False
        self._loop.add_reader(self._stdin, self._read)
        tasks = [self._loop.create_task(each) for each in (self._type(), self._follow_size())]
        try:
            async for data in self._attachment.output():
                await self._loop.run_in_executor(None, _write, self._stdout, data)
            given_back = self._attachment.ended
            return self._attachment.end
        finally:
            self._loop.remove_reader(self._stdin)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not given_back:
                _write(self._stdout, RESTORE)

    def _read(self) -> None:
        try:
            data = os.read(self._stdin, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._stdin)
        with contextlib.suppress(asyncio.QueueFull):
            self._keys.put_nowait(data or LEAVE_KEY)

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


def _write(fd: int, data: bytes) -> None:
    """The whole of `data`; a tty that is gone is no error."""
    with contextlib.suppress(OSError):
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                select.select([], [fd], [])
