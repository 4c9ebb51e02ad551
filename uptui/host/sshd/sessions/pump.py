"""A program on three pipes: every byte delivered, then how it ended; knows no SSH.

As with sshd, it is over when the program has exited and its output has ended, however long what it
has left behind holds that open. No editor needs less: the bootstraps of VS Code (server and exec
server), open-remote-ssh, Zed and JetBrains Gateway start their daemons with all three descriptors
elsewhere. Who wants it shorter sets `cut_after`: what a daemon then still writes is read and
dropped, because SIGPIPE shall not kill it.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from uptui.host.process.flow import READ_SIZE, DescriptorReader, Drain
from uptui.host.process.processes import Process, holders
from uptui.host.process.spawn import ExitStatus, Program, spawn

USUAL_PIPE: Final = 64 * 1024
"""Capacity of a pipe that nobody has changed (pipe(7))."""
PIPE_SIZE: Final = READ_SIZE
"""Capacity asked of a pipe that was found full: fewer switches between program and daemon. A user
has a share of pipe memory, so that pipes which carry little stay as they are."""
HELD_AFTER: Final = 1.0
"""Seconds from a program's exit after which one asks who still holds its output."""
HELD_MOST: Final = 60.0
"""Longest pause until it is asked again; each pause is twice the one before."""
ORPHAN_BYTES: Final = 16 * 1024 * 1024
"""Output of a daemon left behind that is dropped before its pipe is closed."""


class _Orphan:
    """Reads and drops what a daemon left behind still writes."""

    def __init__(self, fd: int) -> None:
        self._left = ORPHAN_BYTES
        self._source = DescriptorReader(fd, self._drop, self._done)

    def _drop(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._source.close()

    def _done(self) -> None:
        """The daemon has closed it."""


class _Pipe:
    """Holds more once it was found full."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._usual = True

    def found_full(self) -> None:
        command = getattr(fcntl, "F_SETPIPE_SZ", None)
        if self._usual and command is not None:
            self._usual = False
            with contextlib.suppress(OSError):  # the user's share of pipe memory is used up
                fcntl.fcntl(self._fd, command, PIPE_SIZE)


@dataclass(frozen=True)
class Held:
    """A program has exited, and others hold its output open."""

    status: ExitStatus
    by: Sequence[Process]
    """Empty where the system does not tell."""
    cut: bool = False
    """It is waited for no longer."""


class PipedProcess:
    """A running program; `on_exit` comes once, after its last output."""

    def __init__(
        self,
        program: Program,
        *,
        on_stdout: Callable[[bytes], None],
        on_stderr: Callable[[bytes], None],
        on_output_end: Callable[[], None],
        on_exit: Callable[[ExitStatus], None],
        on_full: Callable[[], None],
        on_room: Callable[[], None],
        on_input_refused: Callable[[], None],
        on_held: Callable[[Held], None],
        cut_after: float | None = None,
    ) -> None:
        """Start `program`. Raises OSError.

        `on_output_end`: it has closed both its outputs. `on_full` and `on_room` tell whether input
        written should wait, `on_input_refused` that the program has closed its input. `on_held`:
        it has exited, and its output goes on; told again when others hold it. `cut_after`:
        seconds of silence that end it then; None waits for the end.
        """
        self._on_held = on_held
        self._cut_after = cut_after
        self._asking: asyncio.Task[None] | None = None
        self._on_exit = on_exit
        self._guest = program.guest
        self._on_output_end = on_output_end
        self._loop = asyncio.get_running_loop()
        self._status: ExitStatus | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False
        ours, theirs = _pipes()
        self._inodes = frozenset(os.fstat(fd).st_ino for fd in ours)
        try:
            self._child = spawn(program, theirs, self._exited)
        except OSError:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        pipe = _Pipe(ours[0])

        def filled() -> None:
            pipe.found_full()
            on_full()

        self._input = Drain(ours[0], on_full=filled, on_room=on_room, on_broken=on_input_refused)
        self._sources = [
            DescriptorReader(ours[1], self._watched(ours[1], on_stdout), self._ended),
            DescriptorReader(ours[2], self._watched(ours[2], on_stderr), self._ended),
        ]

    @property
    def pid(self) -> int:
        return self._child.pid

    def write(self, data: bytes) -> None:
        """Give the program input."""
        self._input.write(data)

    def end_input(self) -> None:
        """The program's input ends after what was written."""
        self._input.end()

    def pause(self) -> None:
        for source in self._sources:
            source.pause()

    def resume(self) -> None:
        for source in self._sources:
            source.resume()
        self._expect_silence()

    def close_stdout(self) -> None:
        """Nobody reads it: the program that goes on writing to it gets SIGPIPE."""
        stdout = self._sources[0]
        if not stdout.closed:
            stdout.close()
            self._ended()

    def signal(self, number: int) -> None:
        """Signal the program and what it started."""
        self._child.signal_group(number)

    def vanish(self) -> None:
        """The client is gone: close the pipes, as sshd does. No callback follows.

        Who reads finds the end, who writes gets SIGPIPE, and who does neither goes on.
        """
        if self._gone:
            return
        self._over()
        for source in self._sources:
            source.close()

    def _watched(self, fd: int, deliver: Callable[[bytes], None]) -> Callable[[bytes], None]:
        pipe = _Pipe(fd)

        def received(data: bytes) -> None:
            if len(data) >= USUAL_PIPE:
                pipe.found_full()
            deliver(data)
            if self._status is not None:
                self._expect_silence()

        return received

    def _ended(self) -> None:
        if not all(source.closed for source in self._sources):
            return
        self._child.look()
        if self._status is None:
            self._on_output_end()
        else:
            self._finish()

    def _exited(self, status: ExitStatus) -> None:
        self._status = status
        if self._gone:
            return
        if all(source.closed for source in self._sources):
            self._finish()
        else:
            self._asking = self._loop.create_task(self._ask(status))
            self._expect_silence()

    async def _ask(self, status: ExitStatus) -> None:
        """Tell who holds the output, as long as somebody does."""
        pause, told = HELD_AFTER, None
        while True:
            await asyncio.sleep(pause)
            found = await asyncio.to_thread(holders, self._inodes)
            if found != told:
                self._on_held(Held(status, found))
            pause, told = min(pause * 2, HELD_MOST), found

    def _expect_silence(self) -> None:
        if self._status is None or self._gone or self._cut_after is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._cut_after, self._silence)

    def _silence(self) -> None:
        if any(source.paused and not source.closed for source in self._sources):
            return  # the client is slow, not the program silent: `resume` asks again
        assert self._status is not None
        self._on_held(Held(self._status, holders(self._inodes), cut=True))
        self._orphan()
        self._finish()

    def _orphan(self) -> None:
        for source in self._sources:
            fd = source.detach()
            if fd >= 0:
                _Orphan(fd)

    def _finish(self) -> None:
        if self._gone or self._status is None:
            return
        self._over()
        self._on_exit(self._status)

    def _over(self) -> None:
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()
        self._input.close()
        if self._guest is not None:
            self._guest.leave()


def _pipes() -> tuple[list[int], list[int]]:
    """Our ends and the program's ends of stdin, stdout and stderr."""
    pairs: list[tuple[int, int]] = []
    try:
        for _ in range(3):
            pairs.append(os.pipe())  # noqa: PERF401 - what was opened must be closed on failure
    except OSError:
        for pair in pairs:
            os.close(pair[0])
            os.close(pair[1])
        raise
    return [pairs[0][1], pairs[1][0], pairs[2][0]], [pairs[0][0], pairs[1][1], pairs[2][1]]
