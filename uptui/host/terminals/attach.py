"""The host's own people at a terminal: the WebSocket `/v1/terminal` and calls about terminals."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from uptui.errors import ProtocolError, RefusedError, UptuiError
from uptui.host.process.pty import Size
from uptui.host.process.spawn import ExitStatus
from uptui.host.sshd.sessions.attachments import Attachment
from uptui.host.terminals.own_shell import OwnShell
from uptui.host.terminals.terminals import TerminalService
from uptui.protocol.terminal import (
    MAX_FRAME,
    PATH,
    PROGRAM_PREFIX,
    SHARED_ID,
    ClientMessage,
    Hello,
    Leave,
    RecordingChange,
    Resize,
    TerminalEnded,
)

HIGH_WATER: Final = 128 * 1024
"""Bytes waiting for a client above which it counts as not keeping up."""
HELLO_S: Final = 10.0
MAX_BODY: Final = 1024
CLOSE_PROTOCOL: Final = 1002
CLOSE_NORMAL: Final = 1000
_UNSIZED: Final = Size(80, 24)


class _SocketViewer:
    """An attachments.Viewer at the other end of a WebSocket, with a bounded queue."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.end: TerminalEnded | None = None
        self.attachment: Attachment | None = None
        self._queue: list[bytes] = []
        self._waiting = 0
        self._ready = asyncio.Event()

    @property
    def paused(self) -> bool:
        return self._waiting > HIGH_WATER

    def write(self, data: bytes) -> None:
        self._queue.append(data)
        self._waiting += len(data)
        self._ready.set()

    def hold(self, *, held: bool) -> None:
        """Nothing to do: the shared terminal drops what its program does not read."""

    def finish(self, status: ExitStatus, message: str = "") -> None:
        self.attachment = None
        self.end = TerminalEnded(message=message, code=status.shell_code)
        self._ready.set()

    async def send_to(self, socket: WebSocket) -> None:
        """Send what is written until the end."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            data = b"".join(self._queue)
            self._queue.clear()
            if data:
                was_paused = self.paused
                await socket.send_bytes(data)
                self._waiting -= len(data)
                if was_paused and not self.paused and self.attachment is not None:
                    self.attachment.room()
            if self.end is not None and not self._queue:
                await socket.send_text(msgspec.json.encode(self.end).decode())
                return


async def attach(terminals: TerminalService, socket: WebSocket) -> None:
    """Serve one window from Hello to TerminalEnded; never raises for what the client does."""
    await socket.accept()
    try:
        hello = await asyncio.wait_for(_message(socket), HELLO_S)
        if not isinstance(hello, Hello):
            await socket.close(CLOSE_PROTOCOL, "the first message must be hello")
            return
        await _serve(terminals, socket, hello)
    except (WebSocketDisconnect, TimeoutError):
        return
    except (msgspec.DecodeError, ValueError) as error:
        with contextlib.suppress(RuntimeError):
            await socket.close(CLOSE_PROTOCOL, str(error)[:100])


async def _message(socket: WebSocket) -> ClientMessage | bytes:
    frame = await socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(frame.get("code", 1006))
    data: bytes | None = frame.get("bytes")
    if data is not None:
        if len(data) > MAX_FRAME:
            raise ValueError(f"a frame may have {MAX_FRAME} bytes")
        return data
    return msgspec.json.decode(frame["text"], type=ClientMessage)


async def _serve(terminals: TerminalService, socket: WebSocket, hello: Hello) -> None:
    viewer = _SocketViewer(Size(hello.columns, hello.rows))
    try:
        attachment = _attachment(terminals, viewer, hello)
    except (UptuiError, OSError) as error:
        viewer.finish(ExitStatus(code=1), str(error))
        await viewer.send_to(socket)
        await socket.close(CLOSE_NORMAL)
        return
    viewer.attachment = attachment
    try:
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(_read(terminals, socket, viewer, attachment))
            await viewer.send_to(socket)
            reader.cancel()
        await socket.close(CLOSE_NORMAL)
    except* (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        if viewer.end is None:
            attachment.vanish()


def _attachment(terminals: TerminalService, viewer: _SocketViewer, hello: Hello) -> Attachment:
    if hello.terminal != SHARED_ID:
        if hello.watch:
            raise RefusedError("only the shared terminal can be watched")
        return terminals.kept.take_up(hello.terminal, viewer)
    return terminals.join(viewer, "host", types=not hello.watch, host=True)


async def _read(
    terminals: TerminalService, socket: WebSocket, viewer: _SocketViewer, attachment: Attachment
) -> None:
    while True:
        message = await _message(socket)
        if isinstance(message, bytes):
            attachment.type(message)
        elif isinstance(message, Resize):
            viewer.size = Size(message.columns, message.rows)
            attachment.resize(viewer.size)
        elif isinstance(message, Leave):
            _leave(terminals, viewer, attachment)


def _leave(terminals: TerminalService, viewer: _SocketViewer, attachment: Attachment) -> None:
    if isinstance(attachment, OwnShell):
        attachment.vanish()
        viewer.finish(ExitStatus(code=0))
    elif terminals.shared is not None:
        terminals.shared.show_out(attachment)


async def _small_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ProtocolError(f"the body has more than {MAX_BODY} bytes")
    return bytes(body)


def routes(terminals: TerminalService, end_program: Callable[[str], None]) -> list[BaseRoute]:
    """Everything the host API offers about terminals; UptuiError is translated by the API.

    `end_program` ends what was left running, which is listed among them.
    """

    async def serve(socket: WebSocket) -> None:
        await attach(terminals, socket)

    async def end(request: Request) -> Response:
        which = str(request.path_params["id"])
        (end_program if which.startswith(PROGRAM_PREFIX) else terminals.end)(which)
        return Response(status_code=204)

    async def record(request: Request) -> Response:
        try:
            change = msgspec.json.decode(await _small_body(request), type=RecordingChange)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ProtocolError(f"body of PUT {request.url.path}: {error}") from error
        terminals.record(on=change.recording)
        return Response(status_code=204)

    return [
        WebSocketRoute(PATH, serve),
        Route("/v1/terminals/{id}/end", end, methods=["POST"]),
        Route("/v1/terminals/shared/recording", record, methods=["PUT"]),
    ]
