"""Opens the dial-back stream of a client: raw TCP, TLS, or a WebSocket where only HTTPS leaves."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from uptui.errors import NotARelayError, RelayUnreachableError
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.host.relay_link.sockets import ResolvedAddress, connect_to, resolve
from uptui.host.relay_link.websockets import open_websocket, problem_of
from uptui.net.nearness import Nearness, is_nearer, nearness
from uptui.net.tcp_timeout import bound_retries
from uptui.protocol.control import Welcome
from uptui.protocol.names import StreamId
from uptui.protocol.stream import (
    DIAL_TIMEOUT,
    PROBE,
    PROBE_ANSWER,
    WEBSOCKET_PATH,
    preamble,
)

CHUNK: Final = 256 * 1024
"""Bytes moved at once; also the largest frame that we send."""
MAX_FRAME: Final = 1024 * 1024
PROBE_TIMEOUT: Final = 4.0
"""Seconds that a raw connection may take before WebSockets are used instead."""

Transport = Literal["tcp", "websocket"]
Pump = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class TransportChoice:
    """Which transport streams use, and why."""

    transport: Transport
    reason: str
    addresses: tuple[ResolvedAddress, ...] = ()
    """Where raw streams go; found once, so that a name cannot lead elsewhere later."""


@dataclass(frozen=True)
class Way:
    """What streams to one relay need to know."""

    endpoint: RelayEndpoint
    context: ssl.SSLContext | None
    welcome: Welcome | None = None
    """None until the relay has said it."""
    nearness: Nearness = "public"
    """That of the address at which the relay answered; public where a proxy hides it."""


async def choose(way: Way, wish: Literal["auto", "tcp", "websocket"]) -> TransportChoice:
    """Decide by what the relay offers, the proxy on the way, and a probe of the raw address."""
    if wish == "websocket":
        return TransportChoice("websocket", "the setting transport")
    welcome = way.welcome
    if way.endpoint.embedded:
        found = await resolve(way.endpoint.host, way.endpoint.port)
        return TransportChoice("tcp", "the relay is in this process", found)
    host, port = (welcome.stream_host, welcome.stream_port) if welcome else (None, None)
    if host is None or port is None:
        return TransportChoice("websocket", "the relay takes no raw streams")
    if wish == "auto" and way.endpoint.proxy is not None:
        return TransportChoice(
            "websocket", f"there is a proxy on the way ({way.endpoint.proxy_origin})"
        )
    where = f"{host} port {port}"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            addresses = stream_addresses(await resolve(host, port), way.nearness)
    except OSError as error:
        return TransportChoice("websocket", f"{where} cannot be found: {error or 'no answer'}")
    if not addresses:
        text = f"{where} is nearer to this machine than the relay itself: not used"
        return TransportChoice("websocket", text)
    if wish == "tcp":
        return TransportChoice("tcp", "the setting transport", addresses)
    problem = await _probe(addresses, where)
    if problem:
        return TransportChoice("websocket", problem)
    return TransportChoice("tcp", f"{where} answers", addresses)


def stream_addresses(
    found: Sequence[ResolvedAddress], relay: Nearness
) -> tuple[ResolvedAddress, ...]:
    """Those that a relay may send us to: none that is nearer to this machine than the relay."""
    return tuple(
        one
        for one in found
        if (near := nearness(str(one.address[0]))) is not None and not is_nearer(near, relay)
    )


async def probe(host: str, port: int) -> str | None:
    """Why raw streams do not reach the relay at this address, in words; None when they do."""
    where = f"{host} port {port}"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            found = await resolve(host, port)
    except OSError as error:
        return f"{where} cannot be found: {error or 'no answer'}"
    return await _probe(found, where)


async def _probe(addresses: Sequence[ResolvedAddress], where: str) -> str | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            with contextlib.closing(await connect_to(addresses, where)) as sock:
                await loop.sock_sendall(sock, preamble(PROBE))
                answer = b""
                while len(answer) < len(PROBE_ANSWER) and (more := await loop.sock_recv(sock, 64)):
                    answer += more
    except OSError as error:
        return f"{where} cannot be reached: {error or 'no answer'}"
    if not answer.startswith(PROBE_ANSWER):
        return f"{where} takes no raw streams: something else than the relay answers there"
    return None


async def websocket_problem(endpoint: RelayEndpoint, context: ssl.SSLContext | None) -> str | None:
    """Why WebSockets do not reach the relay, in words; None when they do."""
    path = WEBSOCKET_PATH.format(stream_id=PROBE)
    try:
        websocket = await open_websocket(
            endpoint, context, path, max_size=MAX_FRAME, open_timeout=DIAL_TIMEOUT
        )
    except InvalidStatus as error:
        problem = problem_of(error)
        if problem is not None and problem.code == "unknown_stream":
            return None
        return f"a WebSocket is answered with HTTP {error.response.status_code}"
    except (RelayUnreachableError, NotARelayError) as error:
        return f"no WebSocket: {error}"
    await websocket.close()
    return "a WebSocket opens, but nobody asked for it: this is no uptui relay"


async def open_stream(
    way: Way, choice: TransportChoice, stream_id: StreamId
) -> tuple[socket.socket, Pump | None]:
    """A socket that carries the client's bytes, and what must run beside it, if anything.

    Raises RelayUnreachableError.
    """
    try:
        async with asyncio.timeout(DIAL_TIMEOUT):
            if choice.transport == "websocket":
                return await _open_websocket(way, stream_id)
            return await _open_raw(way, choice, stream_id)
    except InvalidStatus as error:
        status = f"HTTP {error.response.status_code}"
        raise RelayUnreachableError(f"no stream to the relay: {status}") from error
    except (OSError, RelayUnreachableError, NotARelayError) as error:
        raise RelayUnreachableError(f"no stream to the relay: {error or 'timed out'}") from error


async def _open_raw(
    way: Way, choice: TransportChoice, stream_id: StreamId
) -> tuple[socket.socket, Pump | None]:
    tls = way.welcome is not None and way.welcome.stream_tls
    if tls and way.context is None:
        raise RelayUnreachableError("the relay wants TLS for streams, but has none itself")
    sock = await connect_to(choice.addresses, "the relay's stream address")
    try:
        if not tls:
            await asyncio.get_running_loop().sock_sendall(sock, preamble(stream_id))
            return sock, None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=way.context, server_hostname=_stream_name(way), limit=CHUNK
        )
    except BaseException:
        sock.close()
        raise
    writer.write(preamble(stream_id))
    return _bridged(_Tls(reader, writer))


def _stream_name(way: Way) -> str:
    """The name that the certificate of the stream address must have."""
    named = None if way.endpoint.embedded or way.welcome is None else way.welcome.stream_host
    return named or way.endpoint.host


async def _open_websocket(way: Way, stream_id: StreamId) -> tuple[socket.socket, Pump | None]:
    path = WEBSOCKET_PATH.format(stream_id=stream_id)
    websocket = await open_websocket(
        way.endpoint, way.context, path, max_size=MAX_FRAME, open_timeout=DIAL_TIMEOUT
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
