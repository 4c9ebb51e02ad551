"""Forwarded connections of one client, counted by the forward that they belong to."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import asyncssh
from asyncssh.constants import OPEN_RESOURCE_SHORTAGE

from uptui.core import destinations
from uptui.core.destinations import Destination
from uptui.core.roles import Role
from uptui.errors import RefusedError
from uptui.host.sshd.client import ChannelRecord, Connection, printable
from uptui.host.sshd.forwarding.bridge import Bridge
from uptui.protocol.activity import ChannelKind
from uptui.protocol.host_api import Forward

MAX_ROUTES: Final = 200
"""Destinations remembered per connection; the oldest unused one makes room."""
MAX_FAILURES: Final = 100
"""Destinations refused or not reached that are put on record, each once for one reason."""
CLIENT_SIDE: Final = "client"
"""What a remote forward leads to, as far as the host can know."""

Direction = Literal["local", "remote", "agent", "x11"]
_KINDS: Final[dict[Direction, ChannelKind]] = {
    "local": "forward-local", "remote": "forward-remote", "agent": "agent", "x11": "x11",
}  # fmt: skip


def address_text(host: str, port: int) -> str:
    """`host:port`, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass
class ForwardTotals:
    """All connections of one client over one forward."""

    direction: Direction
    name: str
    """Destination of a local forward, listening address of a remote one."""
    open: int = 0
    total: int = 0
    received: int = 0
    sent: int = 0
    noted: bool = False


@dataclass(eq=False)
class ForwardedConnection:
    """One forwarded connection; counts for its channel and its route."""

    route: ForwardTotals
    record: ChannelRecord
    to: Destination | None = None
    """The address connected to, of a local forward to a port."""
    path: str = ""
    over: bool = False
    bridge: Bridge = field(init=False)

    def count_received(self, size: int) -> None:
        self.route.received += size
        self.record.count_received(size)

    def count_sent(self, size: int) -> None:
        self.route.sent += size
        self.record.count_sent(size)

    def tcp_session(self) -> asyncssh.SSHTCPSession[bytes]:
        """The bridge, as asyncssh asks for it when a channel opens."""
        return self.bridge

    def unix_session(self) -> asyncssh.SSHUNIXSession[bytes]:
        """The same for a Unix socket's channel."""
        return cast("asyncssh.SSHUNIXSession[bytes]", self.bridge)

    def allowed(self, role: Role, denied: Iterable[str] = ()) -> bool:
        """Whether `role` could open this one now; `denied` as in destinations.may_reach."""
        if self.path:
            return destinations.may_reach_path(role, self.path)
        return self.to is None or destinations.may_reach(role, self.to, denied)


class ForwardedConnections:
    """The table of one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._routes: dict[tuple[Direction, str], ForwardTotals] = {}
        self._open: set[ForwardedConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._failures: set[tuple[str, str]] = set()

    def start(
        self,
        direction: Direction,
        name: str,
        *,
        to: Destination | None = None,
        path: str = "",
    ) -> ForwardedConnection:
        """Register a connection. Raises asyncssh.ChannelOpenError when there are too many."""
        kind = _KINDS[direction]
        route = self._route(direction, name)
        made: list[ForwardedConnection] = []
        try:
            record = self._connection.open_channel(kind, name, lambda _: made[0].bridge.abort())
        except RefusedError as error:
            raise asyncssh.ChannelOpenError(OPEN_RESOURCE_SHORTAGE, str(error)) from error
        forwarded = ForwardedConnection(route, record, to, path)
        made.append(forwarded)
        forwarded.bridge = Bridge(forwarded, lambda _: self.end(forwarded))
        route.open += 1
        route.total += 1
        self._open.add(forwarded)
        return forwarded

    def end(self, forwarded: ForwardedConnection) -> None:
        """A connection is over; harmless when repeated."""
        if not forwarded.over:
            forwarded.over = True
            forwarded.route.open -= 1
            self._open.discard(forwarded)
            forwarded.record.release()

    def open(self, forwarded: ForwardedConnection, opening: "Coroutine[Any, Any, object]") -> None:
        """Await the channel towards the client; the socket is closed when it is refused."""
        task = asyncio.get_running_loop().create_task(self._open_channel(forwarded, opening))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_channel(
        self, forwarded: ForwardedConnection, opening: "Coroutine[Any, Any, object]"
    ) -> None:
        try:
            await opening
        except (asyncssh.Error, OSError):
            forwarded.bridge.abort()
        else:
            self.note_first(forwarded.route)

    def note_first(self, route: ForwardTotals) -> None:
        """Put the first connection of a route on record."""
        if route.noted or route.direction in {"agent", "x11"}:
            return
        route.noted = True
        words = "connects to" if route.direction == "local" else "takes connections from"
        name = printable(route.name)
        self._connection.access_control.note(
            self._connection.client_id,
            "forward.open",
            f"{words} {name}",
            direction=route.direction,
            address=name,
        )

    def note_closed(self, direction: Literal["local", "remote"], name: str) -> None:
        """Put on record that a forward is over, and what went over it."""
        route = self._routes.get((direction, name)) or ForwardTotals(direction, name)
        words = "no longer connects to" if direction == "local" else "no longer listens on"
        times = f"{route.total} connection{'s' if route.total != 1 else ''}"
        address = printable(name)
        self._connection.access_control.note(
            self._connection.client_id,
            "forward.closed",
            f"{words} {address}: {times}, {route.received} bytes up, {route.sent} down",
            direction=direction,
            address=address,
            connections=route.total,
            received=route.received,
            sent=route.sent,
        )

    def first_failure(self, target: str, why: str = "") -> bool:
        """Whether this refusal or failure is new, and there is room to remember it."""
        if (target, why) in self._failures or len(self._failures) >= MAX_FAILURES:
            return False
        self._failures.add((target, why))
        return True

    def keep_allowed(self, role: Role) -> None:
        """End what `role` could not open, as far as that shows without looking names up."""
        for forwarded in [c for c in self._open if not c.allowed(role)]:
            forwarded.bridge.abort()

    def by_port(self) -> dict[int, list[ForwardedConnection]]:
        """The open connections to addresses."""
        found: dict[int, list[ForwardedConnection]] = {}
        for forwarded in self._open:
            if forwarded.to is not None:
                found.setdefault(forwarded.to.port, []).append(forwarded)
        return found

    def report(self, listeners: list[str]) -> list[Forward]:
        """Every route, and every listener even when nobody has used it."""
        routes = list(self._routes.values())
        used = {route.name for route in routes if route.direction == "remote"}
        routes += [ForwardTotals("remote", name) for name in listeners if name not in used]
        return [
            self._shown(r, "local" if r.direction == "local" else "remote")
            for r in routes
            if r.direction == "local" or r.name in listeners
        ]

    def close(self) -> None:
        """End everything."""
        for task in list(self._opening):
            task.cancel()
        for forwarded in list(self._open):
            forwarded.bridge.abort()
        for route in self._routes.values():
            self._leave(route)

    def _leave(self, route: ForwardTotals) -> None:
        if route.noted and route.direction == "local":
            self.note_closed("local", route.name)

    def _route(self, direction: Direction, name: str) -> ForwardTotals:
        route = self._routes.get((direction, name))
        if route is None:
            if len(self._routes) >= MAX_ROUTES:
                self._forget_one()
            route = self._routes[direction, name] = ForwardTotals(direction, name)
        return route

    def _forget_one(self) -> None:
        for key, route in self._routes.items():
            if not route.open:
                del self._routes[key]
                self._leave(route)
                return

    def _shown(self, route: ForwardTotals, direction: Literal["local", "remote"]) -> Forward:
        local = direction == "local"
        name = printable(route.name)
        return Forward(
            client_id=self._connection.client_id,
            client_name="",
            direction=direction,
            listen="" if local else name,
            target=name if local else CLIENT_SIDE,
            connections=route.open,
            total_connections=route.total,
            received=route.received,
            sent=route.sent,
        )
