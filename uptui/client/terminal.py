"""Attaching to a terminal of the host: the WebSocket of the host API (protocol.terminal)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from uptui.client.transport import problem_in
from uptui.client.trust import check_daemon
from uptui.errors import NotRunningError
from uptui.protocol.terminal import (
    MAX_FRAME,
    PATH,
    ClientMessage,
    Hello,
    Leave,
    Resize,
    TerminalEnded,
)

MAX_OUTPUT_FRAME: Final = 4 * 1024 * 1024


class AttachedTerminal:
    """One window at a terminal. `end` is set once `output` has ended."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._resizing: asyncio.Task[None] | None = None
        self.ended = False
        """Whether the host has said goodbye and given the screen back."""
        self.end = TerminalEnded(message="the connection to the daemon was lost")

    async def output(self) -> AsyncIterator[bytes]:
        """What the terminal shows, until its end."""
        try:
            async for frame in self._websocket:
                if isinstance(frame, bytes):
                    yield frame
                else:
                    self.end = msgspec.json.decode(frame, type=TerminalEnded)
                    self.ended = True
        except ConnectionClosed:
            return

    async def type(self, data: bytes) -> None:
        """Pass keys on."""
        for start in range(0, len(data), MAX_FRAME):
            await self._websocket.send(data[start : start + MAX_FRAME])

    def resize(self, columns: int, rows: int) -> None:
        """The window has another size now."""
        self._resizing = asyncio.ensure_future(self._say(Resize(columns=columns, rows=rows)))

    async def leave(self) -> None:
        """Give the screen back; `output` then ends."""
        await self._say(Leave())

    async def close(self) -> None:
        await self._websocket.close()

    async def _say(self, message: ClientMessage) -> None:
        try:
            await self._websocket.send(msgspec.json.encode(message).decode())
        except ConnectionClosed:
            return  # output() tells


async def _connected(path: Path) -> socket.socket:
    """Raises OSError, StateError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(path))
        check_daemon(path, sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def open_terminal(
    path: Path, *, columns: int, rows: int, terminal: str = "shared", watch: bool = False
) -> AttachedTerminal:
    """Attach. Raises NotRunningError, ApiError, StateError for somebody else's socket."""
    try:
        websocket = await unix_connect(
            sock=await _connected(path),
            uri=f"ws://uptui{PATH}",
            compression=None,
            ping_interval=None,
            max_size=MAX_OUTPUT_FRAME,
        )
    except InvalidStatus as error:
        raise problem_in(error.response.status_code, bytes(error.response.body or b"")) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise NotRunningError("no uptui daemon is running here; `uptui` starts one") from error
    hello = Hello(columns=columns, rows=rows, terminal=terminal, watch=watch)
    await websocket.send(msgspec.json.encode(hello).decode())
    return AttachedTerminal(websocket)
