"""Options of the relay's TCP sockets and the way it listens; knows nothing of what flows."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from uptui.errors import ConfigError
from uptui.relay.ingress.systemd_sockets import inherited
from uptui.relay.settings import SocketAddress

QUICK_READS: Final = 24
"""Reads of a connection after each of which delayed ACKs are turned off again: an SSH handshake
is many small messages, and each delayed ACK costs 40 ms."""
KEEPALIVE_IDLE: Final = 15
KEEPALIVE_INTERVAL: Final = 10
KEEPALIVE_COUNT: Final = 7
"""A dead peer is noticed after 15 + 7 * 10 = 85 s; the probes outlast a black hole of 60 s."""
BACKLOG: Final = 1024
ACCEPTS_PER_TURN: Final = 64
"""Connections taken at once, so that a flood on one port leaves room for the others."""
EXHAUSTED_PAUSE: Final = 0.5
"""Seconds without accepting after the process ran out of file descriptors."""

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Accepted = Callable[[socket.socket, SocketAddress], None]


def tune(sock: socket.socket) -> None:
    """TCP_NODELAY and keepalives; harmless on other sockets."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ):
        if (number := getattr(socket, option, None)) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


class QuickAcks:
    """Turns delayed ACKs off for the first reads of one connection."""

    __slots__ = ("_left", "_sock")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        tcp = sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}
        self._sock = sock if tcp and _QUICKACK is not None else None
        self._left = QUICK_READS

    def rearm(self) -> bool:
        """Call on every read; False when there is nothing more to do."""
        if self._sock is None or _QUICKACK is None or self._left <= 0:
            return False
        self._left -= 1
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except OSError:
            return False
        return True


def peer_address(raw: object) -> SocketAddress:
    """The address of a peer as the socket module gives it."""
    if isinstance(raw, tuple) and len(raw) >= 2:  # pyright: ignore[reportUnknownArgumentType]
        host, port = raw[0], raw[1]  # pyright: ignore[reportUnknownVariableType]
        return SocketAddress(str(host).removeprefix("::ffff:"), int(port))  # pyright: ignore[reportUnknownArgumentType]
    return SocketAddress("", 0)


def is_loopback(host: str) -> bool:
    """Whether `host` is a name or address that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(address: SocketAddress, setting: str) -> socket.socket:
    """A listening TCP socket, ours or systemd's. Raises ConfigError naming address and setting."""
    ready = inherited(address.host, address.port) if address.port else None
    if ready is not None:
        return ready
    try:
        found = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ConfigError(setting, f"cannot listen on {address}: {error}") from error
    family, kind, protocol, _, where = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConfigError(setting, f"cannot listen on {address}: {error.strerror}") from error
    return sock


class Listener:
    """Takes connections from a bound socket and hands each, unread, to `accepted`."""

    def __init__(self, sock: socket.socket, accepted: Accepted) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._accepted = accepted
        self._resume: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._accept)

    @property
    def address(self) -> SocketAddress:
        """Where it listens."""
        return peer_address(self._sock.getsockname())

    @property
    def socket(self) -> socket.socket:
        """What it listens on."""
        return self._sock

    def pause(self) -> None:
        """Accept nothing for now; clients wait in the kernel."""
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Accept again."""
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Listen no more; connections already handed on live on."""
        self.pause()
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest()
                return
            sock.setblocking(False)
            tune(sock)
            self._accepted(sock, peer_address(peer))

    def _rest(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._resume = self._loop.call_later(EXHAUSTED_PAUSE, self._wake)

    def _wake(self) -> None:
        self._resume = None
        self._loop.add_reader(self._sock.fileno(), self._accept)
