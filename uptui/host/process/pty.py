"""A program on its own pseudo-terminal; knows nothing of SSH channels or of who watches."""

import asyncio
import contextlib
import dataclasses
import fcntl
import grp
import os
import signal
import struct
import termios
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from uptui.host.process.flow import TURNS, DescriptorReader, Drain
from uptui.host.process.spawn import ExitStatus, Program, spawn
from uptui.host.process.ttymodes import apply_modes

MAX_SIZE: Final = 65535
"""Largest number of columns or rows that a terminal can be given (struct winsize)."""
TAIL_BYTES: Final = 1024 * 1024
"""Output still read after the program has ended, while something else holds its terminal."""
TTY_GROUP: Final = "tty"
TTY_MODE: Final = 0o620


@dataclass(frozen=True)
class Size:
    """Size of a terminal, in characters and (when known) pixels."""

    columns: int = 80
    rows: int = 24
    width: int = 0
    height: int = 0

    def packed(self) -> bytes:
        """As struct winsize; zero columns or rows become the usual 80x24."""
        values = (self.rows or 24, self.columns or 80, self.width, self.height)
        return struct.pack("HHHH", *(max(0, min(value, MAX_SIZE)) for value in values))


class Pty:
    """A running program and the master side of its terminal.

    `on_output` gets bytes in order; `on_exit` comes once, after the last of them. Both are called
    in the loop. While paused nothing is read, and the program waits when the terminal is full.
    """

    def __init__(
        self,
        program: Program,
        *,
        size: Size,
        modes: Mapping[int, int] | None = None,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[ExitStatus], None],
        on_full: Callable[[], None] | None = None,
        on_room: Callable[[], None] | None = None,
    ) -> None:
        """Start `program`; its environment gets SSH_TTY unless it has one. Raises OSError.

        `modes` are RFC 4254 section 8 opcodes. `on_full` and `on_room` tell whether input written
        should wait: the program does not read it.
        """
        self._on_exit = on_exit
        self._guest = program.guest
        self._exited: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._master, device, slave = _open_terminal(size, modes or {})
        self.device = device
        self.size = size
        try:
            self._child = spawn(
                _with_tty(program, device), [device, device, device], self._child_exited
            )
        except OSError:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._source = DescriptorReader(self._master, on_output, self._ended)
        self._input = Drain(os.dup(self._master), on_full=on_full, on_room=on_room)
        self._held = os.dup(self._master)
        """Holds the terminal open until the program has ended: who has let go of it and still has
        something to do would otherwise be hung up on, and not end as it wants (as sshd does)."""
        self._status: ExitStatus | None = None
        self._draining = False

    @property
    def pid(self) -> int:
        """The program's process id, which is also its session and first process group."""
        return self._child.pid

    @property
    def exited(self) -> bool:
        return self._exited.done()

    def write(self, data: bytes) -> None:
        """Type `data`."""
        self._input.write(data)
        TURNS.typed()

    def pause(self) -> None:
        """Stop reading output."""
        self._source.pause()

    def resume(self) -> None:
        """Read output again."""
        self._source.resume()
        self._settle()

    def resize(self, size: Size) -> None:
        """Give the terminal a new size; the foreground program gets SIGWINCH when it changed."""
        self.size = size
        if not self._source.closed:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size.packed())

    def signal(self, number: int) -> None:
        """Signal the foreground process group, as the terminal's keys would."""
        try:
            group = os.tcgetpgrp(self._master) if not self._source.closed else 0
            os.killpg(group if group > 0 else self.pid, number)
        except OSError:
            return

    def send_break(self) -> None:
        """Deliver a break condition."""
        if not self._source.closed:
            termios.tcsendbreak(self._master, 0)

    def hang_up(self) -> None:
        """The user is gone: close the terminal and send SIGHUP to the session's programs.

        `on_exit` still comes, without further output.
        """
        if self._guest is not None:
            self._guest.leave()
        self.signal(signal.SIGHUP)
        self._child.signal_group(signal.SIGHUP)
        self._close()
        self._settle()

    async def wait(self) -> ExitStatus:
        """How the program ended, after its last output."""
        return await asyncio.shield(self._exited)

    def _ended(self) -> None:
        self._input.close()
        self._settle()

    def _close(self) -> None:
        self._source.close()
        self._input.close()
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def _child_exited(self, status: ExitStatus) -> None:
        self._status = status
        self._settle()

    def _settle(self) -> None:
        """Report the end once the program has ended and its output was delivered.

        Programs left behind may hold the terminal open: what is there is read, then it is closed,
        which hangs up on them like sshd does.
        """
        if self._status is None or self._draining or self._exited.done():
            return
        if not self._source.closed:
            if self._source.paused:
                return
            self._draining = True
            self._source.drain(TAIL_BYTES)
            self._draining = False
            if self._source.paused and not self._source.closed:
                return
        self._close()
        if self._guest is not None:
            self._guest.leave()
        self._exited.set_result(self._status)
        self._on_exit(self._status)


def _open_terminal(size: Size, modes: Mapping[int, int]) -> tuple[int, str, int]:
    try:
        master, slave = os.openpty()
    except OSError as error:
        problem = f"there is no terminal for it, /dev/ptmx or /dev/pts: {error.strerror}"
        raise OSError(error.errno, problem) from error
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size.packed())
        apply_modes(slave, modes)
        _let_others_write(slave)
        return master, os.ttyname(slave), slave
    except BaseException:
        os.close(master)
        os.close(slave)
        raise


def _let_others_write(slave: int) -> None:
    """To the group `tty`, for write(1) and wall(1), as sshd does where it may (pty_setowner)."""
    with contextlib.suppress(KeyError, OSError):
        os.fchown(slave, -1, grp.getgrnam(TTY_GROUP).gr_gid)
        os.fchmod(slave, TTY_MODE)


def _with_tty(program: Program, device: str) -> Program:
    env = {"SSH_TTY": device, **program.env}
    return dataclasses.replace(program, env=env)
