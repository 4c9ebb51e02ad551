"""A relay that logs anybody in and then says what a test wants: a real server in a thread."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from uptui.protocol import control

INFO: dict[str, Any] = {
    "service": "uptui-relay", "version": "1", "protocol": 1, "hosting": "open",
    "public_host": "127.0.0.1", "ssh_port": None, "port_first": None, "port_last": None,
}  # fmt: skip
WELCOME: dict[str, Any] = {
    "type": "welcome", "version": 1, "software": "s",
    "ways": {"public_host": "127.0.0.1", "ssh_port": 22}, "stream_host": None, "stream_port": None,
}  # fmt: skip

Attack = Response | Sequence[str | bytes]
"""Instead of a control channel, or as its frames."""


@dataclass
class Evil:
    """What it does: `info` answers /v1/info, each further host gets the next of `attacks`."""

    port: int = 0
    info: Callable[[], Response] = lambda: JSONResponse(INFO)
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    attacks: list[Attack] = field(default_factory=list[Attack])
    welcome: dict[str, Any] = field(default_factory=lambda: dict(WELCOME))
    asked: int = 0
    """How often /v1/info was asked for."""
    open: WebSocket | None = None
    """The control channel that is served now."""
    names_told: list[str] = field(default_factory=list[str])
    """What the newest host wished to be reached by."""
    done: int = 0
    """How many control channels came to their end."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: Request) -> Response:
        path = request.url.path
        if path == "/v1/info":
            self.asked += 1
            return self.info()
        if path == "/v1/challenges":
            namespace = "uptui-identity@uptui"
            return JSONResponse({"nonce": "n" * 40, "namespace": namespace, "expires_in": 60.0})
        if path == "/v1/credentials":
            return JSONResponse({"access_token": "t", "expires_in": 9.0, "fingerprint": "SHA256:f"})
        return JSONResponse(self.names)

    async def control(self, websocket: WebSocket) -> None:
        attack = self.attacks.pop(0) if self.attacks else None
        try:
            if isinstance(attack, Response):
                await websocket.send_denial_response(attack)
                return
            await websocket.accept()
            if attack is None:
                await self._serve(websocket)
            for frame in attack or ():
                if isinstance(frame, str):
                    await websocket.send_text(frame)
                else:
                    await websocket.send_bytes(frame)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    while True:
                        await websocket.receive()
            await websocket.close(4999, "\x1b]0;owned\x07")
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self.done += 1

    async def _serve(self, websocket: WebSocket) -> None:
        """As an honest relay would, with our welcome and a port for each name."""
        self._loop = asyncio.get_running_loop()
        self.open = websocket
        await websocket.send_json(self.welcome)
        while True:
            match control.decode_from_host(await websocket.receive_text()):
                case control.Publish(revision=revision, routes=routes):
                    self.names_told = [one.name for one in routes]
                    granted = [{"name": one.name, "kind": one.kind, "port": 4} for one in routes]
                    outcome = {"type": "published", "revision": revision, "granted": granted}
                    await websocket.send_json(outcome)
                case control.Ping(n=n):
                    await websocket.send_json({"type": "pong", "n": n})
                case control.DialFailed() | control.Screened():
                    pass

    def push(self, frame: dict[str, Any]) -> None:
        """Say something to the host that is served now."""
        assert self.open is not None
        asyncio.run_coroutine_threadsafe(self.open.send_json(frame), self._loop).result(10)


@contextlib.contextmanager
def evil_relay() -> Generator[Evil]:
    """One that listens on a free port of loopback."""
    evil = Evil()
    methods = ["GET", "POST", "PUT", "DELETE"]
    app = Starlette(
        routes=[
            WebSocketRoute("/v1/control", evil.control),
            Route("/{path:path}", evil.answer, methods=methods),
        ]
    )
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        evil.port = server.servers[0].sockets[0].getsockname()[1]
        yield evil
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
