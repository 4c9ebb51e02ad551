"""Opens the dial-back stream of a client: raw TCP, TLS, or a WebSocket where only HTTPS leaves."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from uptui.errors import RelayUnreachableError
from uptui.host.link.endpoint import Endpoint
from uptui.host.link.sockets import connect
from uptui.protocol.control import Welcome
from uptui.protocol.names import StreamId
from uptui.protocol.stream import (
    DIAL_TIMEOUT,
    PROBE,
    PROBE_ANSWER,
    WEBSOCKET_PATH,
    preamble,
)
from uptui.retries import bound_retries

CHUNK: Final = 256 * 1024
"""Bytes moved at once; also the largest frame that we send."""
MAX_FRAME: Final = 1024 * 1024
PROBE_TIMEOUT: Final = 4.0
"""Seconds that a raw connection may take before WebSockets are used instead."""

Transport = Literal["tcp", "websocket"]
Pump = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Choice:
    """Which transport streams use, and why."""

    transport: Transport
    reason: str


@dataclass(frozen=True)
class Way:
    """What streams to one relay need to know."""

    endpoint: Endpoint
    context: ssl.SSLContext | None
    welcome: Welcome | None = None
    """None until the relay has said it."""


async def choose(way: Way, wish: Literal["auto", "tcp", "websocket"]) -> Choice:
    """Decide by what the relay offers, the proxy on the way, and a probe of the raw address."""
    if wish == "websocket":
        return Choice("websocket", "the setting transport")
    if way.endpoint.embedded:
        return Choice("tcp", "the relay is in this process")
    welcome = way.welcome
    host, port = (welcome.stream_host, welcome.stream_port) if welcome else (None, None)
    if host is None or port is None:
        return Choice("websocket", "the relay takes no raw streams")
    if wish == "tcp":
        return Choice("tcp", "the setting transport")
    if way.endpoint.proxy is not None:
        return Choice("websocket", f"there is a proxy on the way ({way.endpoint.proxy_origin})")
    problem = await probe(host, port)
    if problem:
        return Choice("websocket", problem)
    return Choice("tcp", f"{host} port {port} answers")


async def probe(host: str, port: int) -> str | None:
    """Why raw streams do not reach the relay at this address, in words; None when they do."""
    loop = asyncio.get_running_loop()
    where = f"{host} port {port}"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            with contextlib.closing(await connect(host, port)) as sock:
                await loop.sock_sendall(sock, preamble(PROBE))
                answer = b""
                while len(answer) < len(PROBE_ANSWER) and (more := await loop.sock_recv(sock, 64)):
                    answer += more
    except (OSError, TimeoutError) as error:
        return f"{where} cannot be reached: {error or 'no answer'}"
    if not answer.startswith(PROBE_ANSWER):
        return f"{where} takes no raw streams: something else than the relay answers there"
    return None


async def websocket_problem(endpoint: Endpoint, context: ssl.SSLContext | None) -> str | None:
    """Why WebSockets do not reach the relay, in words; None when they do."""
    path = WEBSOCKET_PATH.format(stream_id=PROBE)
    try:
        websocket = await websocket_connect(
            endpoint.websocket_url + path,
            ssl=context,
            proxy=endpoint.proxy,
            compression=None,
            open_timeout=DIAL_TIMEOUT,
        )
    except InvalidStatus as error:
        if b"unknown_stream" in (error.response.body or b""):
            return None
        return f"a WebSocket is answered with HTTP {error.response.status_code}"
    except (OSError, TimeoutError, WebSocketException) as error:
        return f"no WebSocket: {error or 'timed out'}"
    await websocket.close()
    return "a WebSocket opens, but nobody asked for it: this is no uptui relay"


async def open_stream(
    way: Way, choice: Choice, stream_id: StreamId
) -> tuple[socket.socket, Pump | None]:
    """A socket that carries the client's bytes, and what must run beside it, if anything.

    Raises RelayUnreachableError.
    """
    try:
        async with asyncio.timeout(DIAL_TIMEOUT):
            if choice.transport == "websocket":
                return await _open_websocket(way, stream_id)
            return await _open_raw(way, stream_id)
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise RelayUnreachableError(f"no stream to the relay: {error or 'timed out'}") from error


async def _open_raw(way: Way, stream_id: StreamId) -> tuple[socket.socket, Pump | None]:
    welcome = way.welcome
    if welcome is None or welcome.stream_host is None or welcome.stream_port is None:
        raise RelayUnreachableError("the relay takes no raw streams")
    host, port = welcome.stream_host, welcome.stream_port
    if way.endpoint.embedded:
        host, port = way.endpoint.host, way.endpoint.port
    sock = await connect(host, port)
    try:
        if not welcome.stream_tls:
            await asyncio.get_running_loop().sock_sendall(sock, preamble(stream_id))
            return sock, None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=way.context, server_hostname=host, limit=CHUNK
        )
    except BaseException:
        sock.close()
        raise
    writer.write(preamble(stream_id))
    return _bridged(_Tls(reader, writer))


async def _open_websocket(way: Way, stream_id: StreamId) -> tuple[socket.socket, Pump | None]:
    path = WEBSOCKET_PATH.format(stream_id=stream_id)
    websocket = await websocket_connect(
        way.endpoint.websocket_url + path,
        ssl=way.context,
        proxy=way.endpoint.proxy,
        compression=None,
        max_size=MAX_FRAME,
        max_queue=4,
        ping_interval=None,
        open_timeout=DIAL_TIMEOUT,
        close_timeout=2,
    )
    bound_retries(websocket.transport.get_extra_info("socket"))
    return _bridged(_WebSocket(websocket))


class _Wire(Protocol):
    """A stream to the relay that is no plain socket."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None:
        """No more will be written."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class _Tls:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        return await self.reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def end(self) -> None:
        """TLS has no half-close that relays honour: the end of what we send ends the stream."""
        self.writer.close()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()


@dataclass(frozen=True)
class _WebSocket:
    """Binary frames; an empty one ends its direction."""

    websocket: ClientConnection

    async def read(self) -> bytes:
        try:
            message = await self.websocket.recv()
        except ConnectionClosed:
            return b""
        return message if isinstance(message, bytes) else b""

    async def write(self, data: bytes) -> None:
        await self.websocket.send(data)

    async def end(self) -> None:
        await self.websocket.send(b"")

    async def close(self) -> None:
        await self.websocket.close()


def _bridged(wire: _Wire) -> tuple[socket.socket, Pump]:
    """One end of a socket pair whose other end is pumped to and from the wire."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)

    async def pump() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_up(ours, wire))
                group.create_task(_down(wire, ours))
        except* (OSError, WebSocketException):
            pass  # an end of the stream went away: both ends are closed below
        finally:
            ours.close()
            await wire.close()

    return theirs, pump


async def _up(sock: socket.socket, wire: _Wire) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(sock, CHUNK):
        await wire.write(data)
    await wire.end()


async def _down(wire: _Wire, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await wire.read():
        await loop.sock_sendall(sock, data)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
