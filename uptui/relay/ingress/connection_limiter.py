"""Counts what every source has open, and owns the tasks that serve clients."""

import asyncio
import contextlib
import socket
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import structlog

from uptui.net.pending_logins import PendingLogin, PendingLogins
from uptui.net.sources import source_of
from uptui.relay.api.rate_limit import Failures
from uptui.relay.settings import RelayLimits, SocketAddress

log = structlog.get_logger()


@dataclass
class Gauge:
    """How many of something there may be, overall and per source (net.sources) of an address."""

    most: int
    most_per_source: int
    refused: int = 0
    shared: Callable[[str], bool] = lambda _: False
    """Whether many clients stand behind a source, a trusted proxy: only `most` counts for it."""

    def __post_init__(self) -> None:
        self._sources: Counter[str] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many there are now."""
        return self._total

    def enter(self, address: str) -> bool:
        """Count one more, unless that is too many."""
        source = source_of(address)
        crowded = self._sources[source] >= self.most_per_source and not self.shared(address)
        if self._total >= self.most or crowded:
            self.refused += 1
            return False
        self._total += 1
        self._sources[source] += 1
        return True

    def leave(self, address: str) -> None:
        """One less."""
        source = source_of(address)
        self._total -= 1
        self._sources[source] -= 1
        if self._sources[source] <= 0:
            del self._sources[source]


class ConnectionLimiter:
    """Client connections within their limits, each served by a task that somebody owns."""

    def __init__(self, limits: RelayLimits, shared: Callable[[str], bool]) -> None:
        """`shared` tells the addresses that stand for many clients."""
        self.clients = Gauge(limits.connections, limits.connections_per_source, shared=shared)
        self.undecided = PendingLogins(limits.undecided, limits.undecided_per_source)
        """Connections that have not shown yet what they are."""
        self.http = PendingLogins(limits.http, limits.http_per_source)
        """HTTP connections; WebSockets have logged in and count no more."""
        self.failures = Failures()
        self._origins: dict[SocketAddress, SocketAddress] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def enter(self, source: str) -> bool:
        """Count a client connection, unless there are too many."""
        return self.clients.enter(source)

    def wait(
        self, logins: PendingLogins, host: str, drop: Callable[[], None]
    ) -> PendingLogin | None:
        """Count one that has not logged in, unless there are too many; see PendingLogins.enter."""
        now = asyncio.get_running_loop().time()
        return logins.enter(source_of(host), drop, now, shared=self.clients.shared(host))

    def leave(self, source: str) -> None:
        """A client connection ended."""
        self.clients.leave(source)

    def introduce(self, sock: socket.socket, peer: SocketAddress, origin: SocketAddress) -> None:
        """The proxy at `peer` has told for whom it opened `sock`."""
        self._origins[peer] = origin
        weakref.finalize(sock, self._forget, peer, origin)

    def origin(self, peer: SocketAddress) -> SocketAddress:
        """Who really is behind the connection from `peer`."""
        return self._origins.get(peer, peer)

    def _forget(self, peer: SocketAddress, origin: SocketAddress) -> None:
        if self._origins.get(peer) is origin:
            del self._origins[peer]

    def spawn(self, work: Coroutine[None, None, None], sock: socket.socket | None = None) -> None:
        """Run `work`; a failure is logged and closes `sock`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, sock))

    async def cancel(self) -> None:
        """End every task that is still at work."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _done(self, task: asyncio.Task[None], sock: socket.socket | None) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if sock is not None:
                sock.close()
        elif (error := task.exception()) is not None:
            log.error("relay.connection_failed", exc_info=error)
            if sock is not None:
                sock.close()
