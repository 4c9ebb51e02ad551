"""OpenSSH's client on a local pseudo-terminal, driven like a person would."""

import asyncio
import os
import shlex
from types import TracebackType
from typing import Self

from tests.network.ssh.conftest import Served
from uptui.host.process.pty import Pty, Size
from uptui.host.process.spawn import ExitStatus, Program


class Window:
    """A terminal window in which ssh runs."""

    def __init__(
        self, served: Served, *arguments: str, user: str = "me", size: Size, stty: str = ""
    ) -> None:
        ssh = shlex.join(served.command(*arguments, user=user))
        command = ["sh", "-c", f"{stty and f'stty {stty};'} exec {ssh}"]
        env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.seen = b""
        self._news = asyncio.Event()
        self.pty = Pty(
            Program("/bin/sh", command, env, "/"),
            size=size,
            on_output=self._output,
            on_exit=self._exit,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.pty.hang_up()

    def type(self, text: str) -> None:
        self.pty.write(text.encode())

    async def expect(self, text: str, timeout: float = 15.0) -> bytes:
        """Wait until `text` is shown; forget what was shown up to its end and return that."""
        wanted = text.encode()
        try:
            async with asyncio.timeout(timeout):
                while wanted not in self.seen:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not shown, only {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(wanted)
        return before

    async def ended(self) -> ExitStatus:
        async with asyncio.timeout(15):
            return await self.pty.wait()

    def _output(self, data: bytes) -> None:
        self.seen += data
        self._news.set()

    def _exit(self, status: ExitStatus) -> None:
        del status
        self._news.set()


def window(
    served: Served, *arguments: str, user: str = "me", size: Size | None = None, stty: str = ""
) -> Window:
    """Open a window with `ssh -tt arguments`, its terminal in the modes that `stty` sets."""
    return Window(served, "-tt", *arguments, user=user, size=size or Size(91, 33), stty=stty)
