"""Requests that wait for a person: limited per source and overall; no answer in time is no.

All connections of one key that wait are one request: approving lets all of them in. A request
whose last client was lost stays for a while, so that an answer given meanwhile lets in the client
that comes back (an IDE whose own time-out was shorter than the host's thinking).
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from uptui.core.access import Arrival, Ask, Landing
from uptui.protocol import host_api
from uptui.protocol.names import ClientId, Fingerprint, RequestId, new_request_id
from uptui.text import MAX_LINE, clean, clean_name

MAX_PENDING: Final = 20
"""Requests that wait at the same time."""
MAX_PENDING_PER_SOURCE: Final = 3
"""Requests from one IPv4 address or one IPv6 /64 network."""
MAX_CLIENTS_PER_REQUEST: Final = 8
"""Connections of one key that wait together."""
MAX_WANTS: Final = 4
"""Different wishes of one request that are shown."""
RETURN_WINDOW: Final = 60.0
"""Seconds that a request outlives a client that was lost."""

Who = tuple[Fingerprint, bool]
"""A key, and whether only the relay has checked it."""


class TooManyError(Exception):
    """No further request is taken; the text is for the client."""


@dataclass
class Request:
    """One key that waits for an answer."""

    id: RequestId
    arrival: Arrival
    """The newest one of this key."""
    name: str
    role: str
    landing: Landing
    asked_at: float
    expires_at: float
    clients: dict[ClientId, Arrival] = field(default_factory=dict[ClientId, Arrival])
    wants: list[str] = field(default_factory=list[str])
    lost_at: float | None = None
    stays: float = RETURN_WINDOW
    """Seconds that it outlives its last client."""
    warning: str = ""
    """Why this may not be who the name says, in words; empty for no reason."""

    @property
    def ends_at(self) -> float:
        if self.lost_at is None:
            return self.expires_at
        return min(self.expires_at, self.lost_at + self.stays)

    def wish(self, what: str) -> None:
        what = clean(what)
        if what and what not in self.wants and len(self.wants) < MAX_WANTS:
            self.wants.append(what)


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, or an IPv6 /64 network."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def who(arrival: Arrival) -> Who:
    return arrival.fingerprint, arrival.vouched


class Requests:
    """Everybody who waits."""

    def __init__(self) -> None:
        self._by_id: dict[RequestId, Request] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Request]:
        """Oldest first."""
        return list(self._by_id.values())

    def get(self, request_id: str) -> Request | None:
        return self._by_id.get(RequestId(request_id))

    def of_client(self, client_id: ClientId) -> Request | None:
        return next((r for r in self._by_id.values() if client_id in r.clients), None)

    def add(self, arrival: Arrival, ask: Ask, now: float, timeout: float) -> tuple[Request, bool]:
        """Let a client wait: the request, and whether it is a new one. Raises TooManyError."""
        request = next((r for r in self._by_id.values() if who(r.arrival) == who(arrival)), None)
        if request is None:
            self._check_room(arrival)
            request = Request(
                self._new_id(), arrival, ask.name, ask.role, ask.landing, now, now + timeout
            )
            self._by_id[request.id] = request
            new = True
        else:
            if len(request.clients) >= MAX_CLIENTS_PER_REQUEST:
                raise TooManyError(
                    f"{MAX_CLIENTS_PER_REQUEST} connections with your key wait already. "
                    "Try again once the host has answered."
                )
            if request.lost_at is not None:
                request.expires_at = now + timeout
            request.arrival, request.lost_at = arrival, None
            new = False
        request.clients[arrival.client_id] = arrival
        request.wish(arrival.wants)
        return request, new

    def leave(
        self,
        client_id: ClientId,
        now: float,
        *,
        gave_up: bool = False,
        stays: float = RETURN_WINDOW,
    ) -> Request | None:
        """A waiting client is gone; returns its request when nobody waits in it any more: it goes
        at once when the client gave up, else `stays` seconds later."""
        request = self.of_client(client_id)
        if request is None:
            return None
        request.clients.pop(client_id)
        if request.clients:
            return None
        request.lost_at, request.stays = now, stays
        if gave_up:
            del self._by_id[request.id]
        return request

    def clock_moved(self, by: float) -> None:
        """The clock was set, or the machine slept: everybody may wait as long as before."""
        for request in self._by_id.values():
            request.expires_at += by
            if request.lost_at is not None:
                request.lost_at += by

    def pop(self, request_id: str) -> Request | None:
        return self._by_id.pop(RequestId(request_id), None)

    def pop_ended(self, now: float) -> list[Request]:
        """Requests whose time is over."""
        ended = [request for request in self._by_id.values() if now >= request.ends_at]
        for request in ended:
            del self._by_id[request.id]
        return ended

    def _new_id(self) -> RequestId:
        request_id = new_request_id()
        while request_id in self._by_id:
            request_id = new_request_id()
        return request_id

    def _check_room(self, arrival: Arrival) -> None:
        source = source_of(arrival.address)
        same = sum(source_of(r.arrival.address) == source for r in self._by_id.values())
        if same >= MAX_PENDING_PER_SOURCE:
            raise TooManyError(
                f"{same} requests from your address wait for the host already. Try again later."
            )
        if len(self._by_id) >= MAX_PENDING:
            raise TooManyError("Too many people wait for the host already. Try again later.")


def pending_model(request: Request) -> host_api.Pending:
    """How the host API shows a request."""
    arrival = request.arrival
    return host_api.Pending(
        id=request.id,
        client_id=arrival.client_id,
        name=request.name,
        user=clean_name(arrival.user),
        fingerprint=arrival.fingerprint,
        verification="vouched" if arrival.vouched else "proved",
        address=clean(arrival.address),
        program=clean(arrival.program, MAX_LINE),
        way=arrival.way,
        wants=", ".join(request.wants),
        role=request.role,
        invite=None,
        asked_at=request.asked_at,
        expires_at=request.ends_at,
        present=request.lost_at is None,
        warning=request.warning,
    )
