"""The client's side of a wall: carries two file descriptors to a session over a WebSocket."""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from uptui.errors import NotARelayError, RelayRefusedError, RelayUnreachableError
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.host.relay_link.trust import tls_context
from uptui.host.relay_link.websockets import open_websocket, problem_of
from uptui.net.tcp_timeout import bound_retries
from uptui.protocol.names import split_secret
from uptui.protocol.stream import CLIENT_PATH, DIAL_TIMEOUT

CHUNK: Final = 256 * 1024
"""Bytes moved at once."""
MAX_FRAME: Final = 1024 * 1024
PIPE_SIZE: Final = 1024 * 1024
OPEN_TIMEOUT: Final = DIAL_TIMEOUT + 5.0
"""Seconds to wait for the relay, which itself waits for the host."""
_F_SETPIPE_SZ: Final = 1031


Watch = Callable[..., object]
Forget = Callable[[int], object]


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def visit(endpoint: RelayEndpoint, name: str, source: int, sink: int) -> None:
    """Carry `source` to the session `name`, and what it answers to `sink`, until both have ended.

    Half-close passes both ways. Raises RelayUnreachableError, RelayRefusedError when there is no
    such session, NotARelayError, ConfigError.
    """
    websocket = await _open(endpoint, name)
    bound_retries(websocket.transport.get_extra_info("socket"))
    sending = asyncio.create_task(_send(_Descriptor(source), websocket))
    closed = asyncio.create_task(websocket.wait_closed())
    try:
        await _receive(websocket, _Descriptor(sink))
        await asyncio.wait({sending, closed}, return_when=asyncio.FIRST_COMPLETED)
    except BrokenPipeError:
        return  # whoever read our output is gone
    finally:
        for task in (sending, closed):
            task.cancel()
        await asyncio.gather(sending, closed, return_exceptions=True)
        await websocket.close()


async def _open(endpoint: RelayEndpoint, name: str) -> ClientConnection:
    public, _ = split_secret(name)  # the path is for the relay, the secret is not
    try:
        return await open_websocket(
            endpoint,
            await tls_context(endpoint),
            CLIENT_PATH.format(name=quote(public, safe="")),
            max_size=MAX_FRAME,
            open_timeout=OPEN_TIMEOUT,
        )
    except InvalidStatus as error:
        problem = problem_of(error)
        if problem is None or not problem.detail:
            status = f"HTTP {error.response.status_code}"
            text = f"{endpoint.shown} answers {status}: no uptui relay, or one that is down"
            raise NotARelayError(text) from error
        raise RelayRefusedError("not_found", f"{endpoint.shown} says: {problem.detail}") from error
    except RelayUnreachableError as error:
        raise RelayUnreachableError(f"{endpoint.shown}: {error}") from error


async def _send(source: "_Descriptor", websocket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while data := await source.read():
            await websocket.send(data)
        await websocket.send(b"")


async def _receive(websocket: ClientConnection, sink: "_Descriptor") -> None:
    with contextlib.suppress(ConnectionClosed):
        async for frame in websocket:
            if isinstance(frame, bytes):
                if not frame:
                    break
                await sink.write(frame)
    sink.close()


class _Descriptor:
    """A pipe, socket or terminal used without blocking; a file with blocking, as it never waits."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._loop = asyncio.get_running_loop()
        mode = os.fstat(number).st_mode
        self._waits = not (stat.S_ISREG(mode) or stat.S_ISBLK(mode) or self._is_null(number))
        if self._waits:
            os.set_blocking(number, False)
        if stat.S_ISFIFO(mode):
            self._widen()

    def _is_null(self, number: int) -> bool:
        return os.path.samestat(os.fstat(number), os.stat(os.devnull))  # noqa: PTH116 - of a number

    def _widen(self) -> None:
        """A larger pipe means fewer, larger reads."""
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(self._number, _F_SETPIPE_SZ, PIPE_SIZE)

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        while True:
            try:
                return os.read(self._number, CHUNK)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except ConnectionResetError:
                return b""

    async def write(self, data: bytes) -> None:
        """All of it. Raises BrokenPipeError."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def _ready(self, watch: Watch, forget: Forget) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        watch(self._number, _settle, ready)
        try:
            await ready
        finally:
            forget(self._number)

    def close(self) -> None:
        """No more will be written."""
        os.close(self._number)
