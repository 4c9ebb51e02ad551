"""Where clients come in that reach nothing but the HTTP port: WebSockets and HTTP CONNECT.

Both name the route and join it as a jump does, so that the user name is free, and the bytes are the
client's SSH and stay end to end. It knows neither TLS nor proxies, and asks for no further proof.
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from uptui.errors import RefusedError
from uptui.relay.api.problems import deny
from uptui.relay.api.rate_limit import TOO_OFTEN
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.ingress.first_bytes import FirstBytes
from uptui.relay.ingress.listeners import peer_address
from uptui.relay.settings import SocketAddress
from uptui.relay.tunnel.broker import Broker, Caller, HostStream
from uptui.relay.tunnel.pipe import PipeEnd
from uptui.relay.tunnel.streams import WebSocketWire

MAX_HEAD: Final = 8 * 1024
"""Bytes of a CONNECT request."""
HEAD_TIMEOUT: Final = 10.0
BUSY: Final = "too many connections from your address; try again"
_CONNECT = re.compile(rb"CONNECT ([a-z0-9-]{1,63}):([0-9]{1,5}) HTTP/1\.[01]\r?\n", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True)
class WebSocketTunnel:
    """Brings such clients to their hosts."""

    broker: Broker
    limiter: ConnectionLimiter

    async def serve(self, websocket: WebSocket) -> None:
        """The endpoint of `/v1/connect/{name}`; opened only once the host's stream is there."""
        name = str(websocket.path_params["name"])
        client = websocket.client
        peer = SocketAddress(client.host, client.port) if client else SocketAddress("", 0)
        if self.limiter.failures.barred(peer.host):
            await deny(websocket, 429, "rate_limited", TOO_OFTEN)
            return
        if not self.limiter.enter(peer.host):
            await deny(websocket, 503, "busy", BUSY)
            return
        try:
            await self._join(websocket, name, peer)
        finally:
            self.limiter.leave(peer.host)

    async def _join(self, websocket: WebSocket, name: str, peer: SocketAddress) -> None:
        try:
            stream = await self.broker.call(name, "jump", Caller(peer))
        except RefusedError as error:
            self.limiter.failures.failed(peer.host)
            await deny(websocket, 404, "not_found", str(error))
            return
        end = PipeEnd(self.broker.limits.linger)
        try:
            await websocket.accept()
        except BaseException:
            stream.end.abort()
            raise
        wire = WebSocketWire(websocket, end)
        end.attach(wire)
        pipe = self.broker.pipe(name, "jump", stream, lambda: None)
        self.broker.pipes.join(end, stream.end, pipe, stream.early)
        with contextlib.suppress(WebSocketDisconnect):
            await wire.run()
        with contextlib.suppress(Exception):
            await websocket.close()

    def tunnel(self) -> asyncio.Protocol:
        """For one connection that begins with CONNECT."""
        return _Connect(self)


class _Connect(FirstBytes):
    """Reads `CONNECT NAME:PORT`, whose port means nothing, then hands it to its pipe end."""

    def __init__(self, tunnel: WebSocketTunnel) -> None:
        super().__init__(HEAD_TIMEOUT)
        self._tunnel = tunnel

    def read(self, transport: asyncio.Transport, opening: bytes) -> None:
        """Serve the request once its head is whole."""
        end = _END.search(opening)
        if end is None:
            if len(opening) > MAX_HEAD:
                self._refuse(400, "Bad Request", f"a request has at most {MAX_HEAD} bytes")
            return
        self.complete()
        asked = _CONNECT.match(opening)
        if asked is None:
            self._refuse(400, "Bad Request", "expected CONNECT NAME:22, NAME being a session")
            return
        transport.pause_reading()
        name = asked[1].decode("ascii").lower()
        self._tunnel.limiter.spawn(self._serve(transport, name, opening[end.end() :]))

    async def _serve(self, transport: asyncio.Transport, name: str, early: bytes) -> None:
        tunnel = self._tunnel
        peer = tunnel.limiter.origin(peer_address(transport.get_extra_info("peername")))
        if not tunnel.limiter.enter(peer.host):
            self._refuse(503, "Service Unavailable", BUSY)
            return
        try:
            stream = await tunnel.broker.call(name, "jump", Caller(peer))
        except RefusedError as error:
            tunnel.limiter.leave(peer.host)
            self._refuse(404, "Not Found", str(error))
            return
        except BaseException:
            tunnel.limiter.leave(peer.host)
            transport.abort()
            raise
        self._hand_over(name, stream, peer, early)

    def _hand_over(self, name: str, stream: HostStream, peer: SocketAddress, early: bytes) -> None:
        assert self._transport is not None
        broker, limiter = self._tunnel.broker, self._tunnel.limiter
        self._transport.write(_ESTABLISHED)
        end = PipeEnd(broker.limits.linger)
        end.connection_made(self._transport)
        self._transport.set_protocol(end)
        if self._transport.is_closing():
            end.connection_lost(None)
        pipe = broker.pipe(name, "jump", stream, lambda: limiter.leave(peer.host))
        broker.pipes.join(end, stream.end, pipe, stream.early)
        if early:
            end.data_received(early)

    def _refuse(self, status: int, title: str, text: str) -> None:
        assert self._transport is not None
        self.complete()
        body = f"{text}\n".encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self._transport.close()
