"""uvicorn's HTTP protocol for connections that the protocol mux hands over, with a time-limit.

uvicorn never listens here: it only parses requests, so the app, its WebSockets and its errors work
as under any ASGI server.
"""

import asyncio
from typing import Any, Final

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from uptui.net.pending_logins import PendingLogin
from uptui.relay.api.problems import problem
from uptui.relay.api.public import PROXIED
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.ingress.listeners import peer_address
from uptui.relay.settings import SocketAddress
from uptui.relay.tunnel.streams import MAX_FRAME

REQUEST_TIMEOUT: Final = 15.0
"""Seconds for a request, once begun, to be complete; the first one begins with the connection."""
KEEP_ALIVE: Final = 75
"""Seconds that a connection may wait for its next request."""
MAX_HEAD: Final = 64 * 1024
"""Bytes of request line and headers."""


class Web:
    """Makes protocols that serve one ASGI app."""

    def __init__(self, app: ASGIApp, limiter: ConnectionLimiter) -> None:
        """`limiter` tells who is behind the address of a connection, and how many may wait."""
        origin = limiter.origin
        self._limiter = limiter
        is_proxy = limiter.clients.shared

        async def introduced(scope: Scope, receive: Receive, send: Send) -> None:
            if client := scope.get("client"):
                behind = origin(SocketAddress(*client))
                scope["client"] = tuple(behind)
                scope.setdefault("state", {})[PROXIED] = is_proxy(behind.host)
            await app(scope, receive, send)

        self._state = ServerState()
        self._config = Config(
            introduced,
            http=TimedHttp,
            ws="websockets-sansio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            h11_max_incomplete_event_size=MAX_HEAD,
            limit_concurrency=None,
            ws_max_size=MAX_FRAME,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
        )
        self._config.load()

    def protocol(self) -> asyncio.Protocol:
        """For one connection."""
        return TimedHttp(self._config, self._state, {}, self._limiter)

    async def close(self) -> None:
        """Finish the requests that are being answered and close every connection."""
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TimedHttp(H11Protocol):
    """Closes a connection whose request does not arrive in time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limiter: ConnectionLimiter,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._patience: asyncio.TimerHandle | None = None
        self._limiter = limiter
        self._stranger: PendingLogin | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._stranger = self._limiter.wait(
            self._limiter.http, self._peer(transport), transport.abort
        )
        if self._stranger is None:
            transport.abort()
            return
        self._arm()

    def _peer(self, transport: asyncio.Transport) -> str:
        name: Any = transport.get_extra_info("peername")
        return self._limiter.origin(peer_address(name)).host

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._stranger is not None:
            self._limiter.http.touch(self._stranger, self.loop.time())
        if self.transport.get_protocol() is not self:
            self._disarm()  # a WebSocket now, whose silence is its own business
            self._leave()
        elif self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._arm()
        else:
            self._disarm()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._disarm()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """What h11 could not read, as the problem that every other error is."""
        answer = problem(400, msg)
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def _leave(self) -> None:
        if self._stranger is not None:
            self._limiter.http.leave(self._stranger)
            self._stranger = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._leave()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(REQUEST_TIMEOUT, self.transport.abort)

    def _disarm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
