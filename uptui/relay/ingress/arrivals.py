"""What every new connection passes first: who it is from, and being watched over.

A trusted proxy may begin a connection with a PROXY header; it is taken off before anybody else
reads, and a malformed one closes the connection. Bytes of everybody else are not looked at.
"""

import asyncio
import ipaddress
import socket
import weakref
from collections.abc import Sequence
from typing import Final

from uptui.errors import ConfigError, ProtocolError
from uptui.net.pending_logins import PendingLogin
from uptui.relay import logs
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.ingress.listeners import Accepted
from uptui.relay.ingress.proxy_header import MAX_V2, ProxyHeader, Unfinished, parse
from uptui.relay.settings import SocketAddress
from uptui.relay.tunnel.dead_peers import DeadPeers

QUIET: Final = 0.4
"""Seconds after which a trusted address that says nothing is a client that waits for a greeting."""

log = logs.logger("uptui.relay.ingress.arrivals")


class Trusted:
    """Addresses and networks whose word about their clients is believed."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises ConfigError for a text that is no address or network."""
        self._all = "*" in texts
        self._networks = [_network(text) for text in texts if text != "*"]

    def __contains__(self, host: str) -> bool:
        if self._all:
            return True
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)


class Ingress:
    """Stands between the listeners and what they lead to."""

    def __init__(
        self, trusted: Trusted, limiter: ConnectionLimiter, dead_peers: DeadPeers, timeout: float
    ) -> None:
        """A header that has begun must be complete within `timeout` seconds."""
        self.trusted = trusted
        self.limiter = limiter
        self.timeout = timeout
        self._dead_peers = dead_peers
        self._waiting: weakref.WeakSet[_ProxyHeaderReader] = weakref.WeakSet()

    def before(self, accepted: Accepted) -> Accepted:
        """What a listener calls so that `accepted` gets the connection with its true source."""

        def enter(sock: socket.socket, peer: SocketAddress) -> None:
            self._dead_peers.watch(sock)
            if peer.host not in self.trusted:
                accepted(sock, peer)
            else:
                reader = _ProxyHeaderReader(self, sock, peer, accepted)
                reader.login = self.limiter.wait(self.limiter.undecided, peer.host, reader.leave)
                if reader.login is None:
                    reader.leave()
                    return
                self._waiting.add(reader)
                reader.look()

        return enter

    def close(self) -> None:
        """Turn away whoever has not said yet where it is from."""
        for reader in list(self._waiting):
            reader.leave()


class _ProxyHeaderReader:
    """A connection from a trusted address whose header may still come."""

    def __init__(
        self, ingress: Ingress, sock: socket.socket, peer: SocketAddress, accepted: Accepted
    ) -> None:
        self._ingress = ingress
        self._sock = sock
        self._peer = peer
        self._accepted = accepted
        self.login: PendingLogin | None = None
        self._seen = 0
        self._over = False
        loop = asyncio.get_running_loop()
        loop.add_reader(sock.fileno(), self.look)
        self._loop = loop
        self._limit = loop.call_later(ingress.timeout, self.leave)
        self._quiet = loop.call_later(QUIET, self._silent)

    def leave(self) -> None:
        """Close the connection."""
        if not self._over:
            self._end()
            self._sock.close()

    def look(self) -> None:
        """Read the header if it is complete; nothing of what follows it."""
        try:
            data = self._sock.recv(MAX_V2, socket.MSG_PEEK)
            if len(data) <= self._seen:
                self.leave()
                return
            self._quiet.cancel()
            found = parse(data)
            if isinstance(found, Unfinished):
                self._seen = len(data)
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, found.wanted)
            elif found is None:
                self._enter(self._peer)
            else:
                self._introduce(found)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.leave()
        except ProtocolError as error:
            log.warning("proxy_header_refused", proxy=self._peer.host, problem=str(error))
            self.leave()

    def _introduce(self, header: ProxyHeader) -> None:
        self._sock.recv(header.size)
        if header.source is None:
            self._enter(self._peer)
            return
        source = SocketAddress(*header.source)
        self._ingress.limiter.introduce(self._sock, self._peer, source)
        self._enter(source)

    def _silent(self) -> None:
        if not self._seen:
            self._enter(self._peer)

    def _enter(self, source: SocketAddress) -> None:
        self._end()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._accepted(self._sock, source)

    def _end(self) -> None:
        self._over = True
        self._limit.cancel()
        self._quiet.cancel()
        self._loop.remove_reader(self._sock.fileno())
        if self.login is not None:
            self._ingress.limiter.undecided.leave(self.login)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigError("--trusted-proxies", f"{text!r} is no address or network") from error
