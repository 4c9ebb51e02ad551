"""Who serves which route name, and which clients wait for a stream; pure tables, `now` passed in.

It knows no sockets: hosts and dials are numbers and names, and every change answers with what the
caller has to close or to tell.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NewType

from uptui.protocol.control import MAX_ROUTES, Publish, Refusal, Route
from uptui.protocol.names import Fingerprint, RouteName, StreamId, Way, kind_of, new_stream_id
from uptui.relay.accounts.alias_rules import owner_of
from uptui.relay.accounts.route_policy import Identity


class BusyError(Exception):
    """Too many clients wait for streams at the moment."""


HostId = NewType("HostId", int)
"""One control channel, unique in this relay's life."""

MAX_HOST_KEYS: Final = 8
HASTE: Final = 1.0
"""Seconds that a client waits at least before another of its own source may take its place."""


@dataclass
class ConnectedHost:
    """A daemon on the other end of a control channel."""

    id: HostId
    identity: Identity
    address: str
    since: float
    last_seen: float
    session_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """What administration calls this channel."""
    instance: str = ""
    revision: int = -1
    routes: dict[RouteName, Route] = field(default_factory=dict[RouteName, Route])
    host_keys: tuple[str, ...] = ()
    e2e_only: bool = False
    software: str = ""
    pending: int = 0
    ousted: bool = False
    """A newer daemon of the same identity has taken over."""
    reviewing: frozenset[RouteName] = frozenset()
    """The names of a Publish that is being decided about."""
    outdated: bool = False
    """One of them has changed hands meanwhile: what was decided may be wrong."""


@dataclass(frozen=True)
class PendingDial:
    """A client that waits for its host's stream."""

    stream_id: StreamId
    host: HostId
    name: RouteName
    way: Way
    since: float
    expires_at: float
    source: str = ""
    """Where the client comes from (net.sources)."""


@dataclass(frozen=True)
class Change:
    """What a Publish did."""

    accepted: tuple[Route, ...]
    closed: frozenset[RouteName]
    """Names that nobody serves any more."""
    refused: tuple[Refusal, ...] = ()
    superseded: ConnectedHost | None = None
    """An older daemon of the same identity, which has lost all of its names."""
    displaced: tuple[tuple[ConnectedHost, RouteName], ...] = ()
    """Aliases that former owners still served."""


def shape_refusals(routes: list[Route]) -> dict[RouteName, Refusal]:
    """The names that no relay would serve, each with the reason."""
    refused: dict[RouteName, Refusal] = {}
    for count, route in enumerate(routes):
        if count >= MAX_ROUTES:
            refused[route.name] = Refusal(
                name=route.name, code="quota", message=f"a host publishes at most {MAX_ROUTES}"
            )
        elif kind_of(route.name) != route.kind:
            refused[route.name] = Refusal(
                name=route.name,
                code="invalid_name",
                message=f"{route.name[:64]!r} does not have the shape of a route of kind "
                f"{route.kind}",
            )
    return refused


class Registry:
    """All hosts, routes and pending dials of one relay."""

    def __init__(
        self, *, max_hosts: int, max_dials: int, max_dials_per_host: int, max_dials_per_source: int
    ) -> None:
        self._max_hosts = max_hosts
        self._max_dials = max_dials
        self._max_dials_per_host = max_dials_per_host
        self._max_dials_per_source = max_dials_per_source
        self._waiting: Counter[str] = Counter()
        """How many clients of each source wait."""
        self._hosts: dict[HostId, ConnectedHost] = {}
        self._routes: dict[RouteName, HostId] = {}
        self._dials: dict[StreamId, PendingDial] = {}
        self._newest: dict[Fingerprint, HostId] = {}
        self._next = 0

    @property
    def hosts(self) -> tuple[ConnectedHost, ...]:
        """Every host connected now."""
        return tuple(self._hosts.values())

    @property
    def pending(self) -> int:
        """How many clients wait for a stream."""
        return len(self._dials)

    def add_host(self, identity: Identity, address: str, now: float) -> ConnectedHost | None:
        """A control channel opened; None when the relay is full."""
        if len(self._hosts) >= self._max_hosts:
            return None
        self._next += 1
        host = ConnectedHost(HostId(self._next), identity, address, now, now)
        self._hosts[host.id] = host
        return host

    def remove_host(self, host_id: HostId) -> frozenset[RouteName]:
        """A control channel closed. Returns the names that nobody serves any more."""
        host = self._hosts.pop(host_id, None)
        if host is None:
            return frozenset()
        if self._newest.get(host.identity.fingerprint) == host_id:
            del self._newest[host.identity.fingerprint]
        closed = frozenset(name for name in host.routes if self._routes.get(name) == host_id)
        for name in closed:
            del self._routes[name]
        return closed

    def host(self, host_id: HostId) -> ConnectedHost | None:
        """The host with this id while it is connected."""
        return self._hosts.get(host_id)

    def serving(self, name: str) -> ConnectedHost | None:
        """The host that serves this name now."""
        host_id = self._routes.get(RouteName(name))
        return None if host_id is None else self._hosts[host_id]

    def publish(self, host: ConnectedHost, wish: Publish, refused: list[Refusal]) -> Change:
        """Make `wish`, less what is already refused, the whole set of this host's routes.

        Another daemon of the same identity loses everything: the newest instance wins. A name
        that a different identity serves right now is refused as taken, unless it is an alias of
        another owner: `refused` says that it belongs to this one now.
        """
        superseded = self._take_over(host)
        no = {refusal.name: refusal for refusal in refused}
        accepted: dict[RouteName, Route] = {}
        displaced: list[tuple[ConnectedHost, RouteName]] = []
        for route in wish.routes:
            if route.name in no:
                continue
            other = self._foreign(route.name, host)
            if other is not None and _has_lost(other, route, host):
                self.withdraw(other, route.name)
                displaced.append((other, route.name))
                other = None
            if other is not None:
                no[route.name] = Refusal(
                    name=route.name, code="taken", message="another host serves this name now"
                )
            else:
                accepted[route.name] = route
        before = {*host.routes, *(superseded.routes if superseded else ())}
        for name in before - accepted.keys():
            self._routes.pop(name, None)
        self._routes.update(dict.fromkeys(accepted, host.id))
        host.routes, host.instance, host.revision = accepted, wish.instance, wish.revision
        host.host_keys = tuple(wish.host_keys[:MAX_HOST_KEYS])
        host.e2e_only, host.software = wish.e2e_only, wish.software[:200]
        if superseded is not None:
            superseded.routes, superseded.ousted = {}, True
        return Change(
            tuple(accepted.values()),
            frozenset(before - accepted.keys()),
            tuple(no.values()),
            superseded,
            tuple(displaced),
        )

    def withdraw(self, host: ConnectedHost, name: RouteName) -> None:
        """Let `host` serve `name` no more; another host that does is left alone."""
        if self._routes.get(name) == host.id:
            del self._routes[name]
        host.routes.pop(name, None)

    def changed_hands(self, name: RouteName) -> None:
        """What is being decided about this name has to be decided again."""
        for host in self._hosts.values():
            if name in host.reviewing:
                host.outdated = True

    def dial(
        self, name: str, way: Way, now: float, timeout: float, source: str = ""
    ) -> PendingDial | None:
        """A client for `name`: its one-time stream id, or None for a name nobody serves.

        Raises BusyError when too many clients wait already; see `crowded_out`.
        """
        host = self.serving(name)
        if host is None:
            return None
        if (
            len(self._dials) >= self._max_dials
            or host.pending >= self._max_dials_per_host
            or self._waiting[source] >= self._max_dials_per_source
        ):
            raise BusyError
        dial = PendingDial(
            new_stream_id(), host.id, RouteName(name), way, now, now + timeout, source
        )
        self._dials[dial.stream_id] = dial
        self._waiting[source] += 1
        host.pending += 1
        return dial

    def crowded_out(self, name: str, source: str, now: float) -> PendingDial | None:
        """The dial that makes room for a client of `source` at `name` where there is none, if any.

        A crowd drives out itself: a source that has too many loses its own oldest, a host or a
        relay that is full loses the oldest of the source that has most there.
        """
        host = self.serving(name)
        if host is None:
            return None
        if host.pending >= self._max_dials_per_host:
            return _displaced(self.dials_of(host.id), source, now)
        if self._waiting[source] >= self._max_dials_per_source:
            return _displaced([d for d in self._dials.values() if d.source == source], source, now)
        if len(self._dials) >= self._max_dials:
            return _displaced(list(self._dials.values()), source, now)
        return None

    def claim(self, stream_id: StreamId, now: float) -> PendingDial | None:
        """Spend a stream id; None when it is unknown, spent or expired."""
        dial = self._forget(stream_id)
        return dial if dial is not None and now < dial.expires_at else None

    def abandon(self, stream_id: StreamId, host_id: HostId | None = None) -> PendingDial | None:
        """No stream will come. With `host_id` only that host's own dials can be abandoned."""
        dial = self._dials.get(stream_id)
        if dial is None or (host_id is not None and dial.host != host_id):
            return None
        return self._forget(stream_id)

    def dials_of(self, host_id: HostId) -> tuple[PendingDial, ...]:
        """The clients that wait for this host."""
        return tuple(dial for dial in self._dials.values() if dial.host == host_id)

    def _forget(self, stream_id: StreamId) -> PendingDial | None:
        dial = self._dials.pop(stream_id, None)
        if dial is None:
            return None
        self._waiting[dial.source] -= 1
        if self._waiting[dial.source] <= 0:
            del self._waiting[dial.source]
        if (host := self._hosts.get(dial.host)) is not None:
            host.pending -= 1
        return dial

    def _foreign(self, name: RouteName, host: ConnectedHost) -> ConnectedHost | None:
        """The host of another identity that serves this name."""
        other = self.serving(name)
        return None if other is None or _same_identity(other, host) else other

    def _take_over(self, host: ConnectedHost) -> ConnectedHost | None:
        """The other daemon of this identity that has published, which is now the older one."""
        newest = self._newest.get(host.identity.fingerprint)
        self._newest[host.identity.fingerprint] = host.id
        return None if newest is None or newest == host.id else self._hosts.get(newest)


def _same_identity(one: ConnectedHost, other: ConnectedHost) -> bool:
    return one.identity.fingerprint == other.identity.fingerprint


def _displaced(crowd: Sequence[PendingDial], source: str, now: float) -> PendingDial | None:
    """The oldest of the source that has most in a crowd, oldest first, unless a client of `source`
    would take the place of one like itself which has hardly had time to be served."""
    each = Counter(dial.source for dial in crowd)
    greediest, most = each.most_common(1)[0]
    oldest = next(dial for dial in crowd if dial.source == greediest)
    richer = most > each[source] + 1
    return oldest if richer or oldest.since <= now - HASTE else None


def _has_lost(other: ConnectedHost, route: Route, host: ConnectedHost) -> bool:
    """Whether `other` serves what the names' book gives to the owner of `host`."""
    return route.kind == "alias" and owner_of(other.identity) != owner_of(host.identity)
