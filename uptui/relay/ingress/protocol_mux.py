"""The protocol mux: looks at the first byte of a connection and hands it to whom it is for.

HTTP clients, hosts with a stream and TLS clients speak first. On a `single` address SSH clients
come here too; those that wait for the server's greeting are told from the others by their silence.
What HTTP, streams and SSH are is known only to the protocols that are handed in.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uptui.net.pending_logins import PendingLogin
from uptui.relay.api.problems import problem
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.settings import RelayLimits, SocketAddress

TLS_HANDSHAKE: Final = 0x16
_STREAM = ord("U")
_SSH = ord("S")
_CONNECT = ord("C")
_NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n"
    b"Connection: close\r\n\r\n"
) + bytes(problem(400, "this address speaks HTTPS only: use https://").body)

ProtocolFactory = Callable[[], asyncio.Protocol]


@dataclass(frozen=True)
class Targets:
    """Who takes a connection, by what it speaks."""

    http: ProtocolFactory
    stream: ProtocolFactory
    tunnel: ProtocolFactory
    """Takes `CONNECT NAME:PORT`; no other request of ours begins with a C."""
    ssh: ProtocolFactory | None = None
    """Set on a `single` address."""
    tls: Callable[[], ssl.SSLContext] | None = None
    """Gives the context for the next connection, so that certificates can be renewed."""

    def behind(self, first: int, *, encrypted: bool) -> ProtocolFactory:
        """The protocol for a connection that begins with this byte."""
        if first == _STREAM:
            return self.stream
        if first == _CONNECT:
            return self.tunnel
        if first == _SSH and self.ssh is not None and not encrypted:
            return self.ssh
        return self.http


class ProtocolMux:
    """Decides for every connection that a Listener accepts."""

    def __init__(self, targets: Targets, limiter: ConnectionLimiter, limits: RelayLimits) -> None:
        self._targets = targets
        self._limiter = limiter
        self._limits = limits
        self._guests: set[_Sniffer] = set()

    def accepted(self, sock: socket.socket, peer: SocketAddress) -> None:
        """Take a new connection; closed at once where too many are undecided."""
        guest = _Sniffer(sock, peer, self)
        guest.login = self._limiter.wait(self._limiter.undecided, peer.host, guest.leave)
        if guest.login is None:
            sock.close()
            return
        self._guests.add(guest)
        guest.wait(
            self._limits.undecided_timeout,
            self._limits.ssh_grace if self._targets.ssh is not None else None,
        )

    def close(self) -> None:
        """Turn away everybody who is still undecided."""
        for guest in list(self._guests):
            guest.leave()

    def decided(self, guest: "_Sniffer", first: int | None) -> None:
        """A guest has shown its first byte, or has been silent for the grace (None)."""
        self.left(guest)
        targets = self._targets
        if first is None:
            assert targets.ssh is not None
            self._enter(guest.sock, targets.ssh, None)
        elif first == TLS_HANDSHAKE and targets.tls is not None:
            self._enter(guest.sock, lambda: _TlsSniffer(targets, self._limits), targets.tls())
        elif targets.tls is not None and targets.behind(first, encrypted=False) is targets.http:
            self._enter(guest.sock, _HttpsOnly, None)
        else:
            self._enter(guest.sock, targets.behind(first, encrypted=False), None)

    def left(self, guest: "_Sniffer") -> None:
        """A guest is no longer undecided."""
        if guest in self._guests:
            self._guests.discard(guest)
            if guest.login is not None:
                self._limiter.undecided.leave(guest.login)

    def _enter(
        self, sock: socket.socket, factory: ProtocolFactory, tls: ssl.SSLContext | None
    ) -> None:
        self._limiter.spawn(_connect(sock, factory, tls, self._limits.undecided_timeout), sock)


class _Sniffer:
    """A connection that has not said yet what it wants. Its bytes stay in the kernel."""

    __slots__ = ("_grace", "_limit", "_loop", "_mux", "login", "peer", "sock")

    def __init__(self, sock: socket.socket, peer: SocketAddress, mux: ProtocolMux) -> None:
        self.sock = sock
        self.peer = peer
        self._mux = mux
        self._loop = asyncio.get_running_loop()
        self._limit: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None
        self.login: PendingLogin | None = None

    def wait(self, limit: float, grace: float | None) -> None:
        self._loop.add_reader(self.sock.fileno(), self._readable)
        self._limit = self._loop.call_later(limit, self.leave)
        if grace is not None:
            self._grace = self._loop.call_later(grace, self._silent)

    def leave(self) -> None:
        self._stop()
        self.sock.close()
        self._mux.left(self)

    def _readable(self) -> None:
        try:
            first = self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first:
            self.leave()
            return
        self._stop()
        self._mux.decided(self, first[0])

    def _silent(self) -> None:
        self._stop()
        self._mux.decided(self, None)

    def _stop(self) -> None:
        self._loop.remove_reader(self.sock.fileno())
        for timer in (self._limit, self._grace):
            if timer is not None:
                timer.cancel()


class _TlsSniffer(asyncio.Protocol):
    """Decides by the first byte inside TLS."""

    def __init__(self, targets: Targets, limits: RelayLimits) -> None:
        self._targets = targets
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limits.undecided_timeout, transport.abort)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._timer is not None:
            self._timer.cancel()
        protocol = self._targets.behind(data[0], encrypted=True)()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _HttpsOnly(asyncio.Protocol):
    """Tells a plain HTTP client that this is the wrong scheme."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(_NOT_HTTP)
        self._transport.close()


async def _connect(
    sock: socket.socket, factory: ProtocolFactory, tls: ssl.SSLContext | None, handshake: float
) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(
            factory, sock, ssl=tls, ssl_handshake_timeout=handshake if tls is not None else None
        )
    except OSError:
        sock.close()
