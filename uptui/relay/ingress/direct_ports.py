"""Direct ports: one listener per published route that wants one, its port kept through the store.

A client's socket stays unread in the kernel until the host's stream is there, so waiting clients
cost neither memory nor reads.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Final

import structlog

from uptui.errors import ConfigError, RefusedError
from uptui.protocol.names import RouteName
from uptui.relay.accounts.port_limits import Holder, PortQuotaError
from uptui.relay.accounts.route_policy import PortBook
from uptui.relay.ingress.arrivals import Ingress
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.ingress.listeners import Listener, bind
from uptui.relay.ingress.ssh_refusal import refuse
from uptui.relay.settings import PortSpan, SocketAddress
from uptui.relay.tunnel.broker import Broker, Caller
from uptui.relay.tunnel.pipe import PipeEnd

ATTEMPTS: Final = 64
"""Ports tried for one route before giving up, when strangers sit on them."""


log = structlog.get_logger()


class DirectPorts:
    """The listeners of all routes with a port."""

    def __init__(
        self,
        span: PortSpan,
        host: str,
        book: PortBook,
        broker: Broker,
        limiter: ConnectionLimiter,
        ingress: Ingress,
    ) -> None:
        self._span = span
        self._host = host
        self._book = book
        self._broker = broker
        self._limiter = limiter
        self._ingress = ingress
        self._kept: dict[int, socket.socket] = {}
        self._listeners: dict[RouteName, Listener] = {}
        self._lock = asyncio.Lock()
        self._closed = False

    async def open(self, name: RouteName, holder: Holder) -> int | None:
        """Listen for `name`. Returns its port, or None when there is none to give to its holder."""
        if self._span is None or self._closed:
            return None
        async with self._lock:
            listener = self._listeners.get(name)
            if listener is None:
                bound = await self._bound(name, holder)
                if bound is None:
                    return None
                if self._closed:
                    bound.close()
                    return None
                listener = Listener(
                    bound,
                    self._ingress.before(lambda sock, peer: self._accepted(name, sock, peer)),
                )
                self._listeners[name] = listener
            return listener.address.port

    def close(self, name: RouteName) -> None:
        """Listen for `name` no more, at once; its splices live on."""
        listener = self._listeners.pop(name, None)
        if listener is not None:
            listener.close()

    def close_all(self) -> None:
        """Take no more clients on any port."""
        self._closed = True
        self.disown()
        for name in list(self._listeners):
            self.close(name)

    def adopt(self, socks: Iterable[socket.socket]) -> None:
        """Use these listening sockets for the names that own their ports."""
        self._kept.update((int(sock.getsockname()[1]), sock) for sock in socks)

    def disown(self) -> None:
        """Close the adopted sockets whose names have not come."""
        for sock in self._kept.values():
            sock.close()
        self._kept.clear()

    @property
    def listeners(self) -> list[Listener]:
        """Every port that is listened on now."""
        return list(self._listeners.values())

    def _listen(self, port: int) -> socket.socket:
        """Raises ConfigError when a stranger sits on the port."""
        kept = self._kept.pop(port, None)
        return kept if kept is not None else bind(SocketAddress(self._host, port), "--ports")

    async def _bound(self, name: RouteName, holder: Holder) -> socket.socket | None:
        bind = self._bind_any if self._span == "auto" else self._bind
        try:
            return await bind(name, holder)
        except PortQuotaError as error:
            log.info("relay.no_port", reason=str(error))
            return None

    async def _bind(self, name: RouteName, holder: Holder) -> socket.socket | None:
        """A listener within the range, on the port kept for this name if it is free."""
        assert isinstance(self._span, tuple)
        span = range(self._span[0], self._span[1] + 1)
        avoid: set[int] = set()
        for _ in range(min(ATTEMPTS, len(span))):
            port = await self._book.assign(name, holder, span, avoid)
            if port is None:
                return None
            try:
                return self._listen(port)
            except ConfigError:
                avoid.add(port)
        return None

    async def _bind_any(self, name: RouteName, holder: Holder) -> socket.socket | None:
        """A listener on the port kept for this name, else on one that the kernel chooses."""
        kept = await self._book.port_of(name)
        if kept is not None:
            try:
                return self._listen(kept)
            except ConfigError:
                await self._book.free(name)
        for _ in range(ATTEMPTS):
            sock = bind(SocketAddress(self._host, 0), "--ports")
            with contextlib.ExitStack() as undo:
                undo.callback(sock.close)
                port = int(sock.getsockname()[1])
                span = range(port, port + 1)
                if await self._book.assign(name, holder, span, ()) == port:
                    undo.pop_all()
                    return sock
        return None

    def _accepted(self, name: RouteName, sock: socket.socket, peer: SocketAddress) -> None:
        if not self._limiter.enter(peer.host):
            sock.close()
            return
        self._limiter.spawn(self._serve(name, sock, peer), sock)

    async def _serve(self, name: RouteName, sock: socket.socket, peer: SocketAddress) -> None:
        loop = asyncio.get_running_loop()
        linger = self._broker.limits.linger
        try:
            stream = await self._broker.call(name, "port", Caller(peer))
        except RefusedError as error:
            self._limiter.leave(peer.host)
            await refuse(sock, str(error))
            return
        except BaseException:
            self._limiter.leave(peer.host)
            raise
        try:
            _, client = await loop.connect_accepted_socket(lambda: PipeEnd(linger), sock)
        except OSError:
            stream.end.abort()
            self._limiter.leave(peer.host)
            return
        pipe = self._broker.pipe(name, "port", stream, lambda: self._limiter.leave(peer.host))
        self._broker.pipes.join(client, stream.end, pipe, stream.early)
