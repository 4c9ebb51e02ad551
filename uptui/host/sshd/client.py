"""One client's connection: who it is, what it may do, what it has open. Knows no wire format.

It is what the decisions see (access_control.Guest) and what sessions, files and forwards
work against.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

from uptui.core.keyoptions import UNLIMITED, KeyLimits
from uptui.core.roles import Capability
from uptui.core.traffic import Meter
from uptui.errors import RefusedError
from uptui.host.process.guests import Guests
from uptui.host.sshd.access_control import (
    GAVE_UP,
    AccessControl,
    Arrival,
    Grant,
    GuestReport,
    Presence,
    StreamOrigin,
)
from uptui.host.sshd.settings import SSHSettings
from uptui.protocol.activity import ChannelKind, ChannelView, Transfer
from uptui.protocol.names import ClientId, Fingerprint, new_client_id

if TYPE_CHECKING:
    from uptui.host.sshd.services import ClientServices

REFUSAL_LINGER: Final = 5.0
"""Seconds that a refused client keeps its connection, to read why on its channels."""
GONE: Final = "the connection is closed"
MAX_TRANSFERS: Final = 200
"""Finished and running transfers remembered per connection."""
NOTICE_S: Final = 4.0
"""Seconds in which a notice is shown and, on a shared terminal, taken away again."""
NEEDED: Final[dict[ChannelKind, Capability]] = {
    "shell": Capability.SHELL,
    "exec": Capability.EXEC,
    "files": Capability.READ,
    "forward-local": Capability.FORWARD_LOCAL,
    "forward-remote": Capability.FORWARD_REMOTE,
    "agent": Capability.AGENT,
    "x11": Capability.FORWARD_REMOTE,
    "terminal": Capability.VIEW,
}
"""What a role must allow for a channel of a kind to stay open."""
BUSY_KINDS: Final[frozenset[ChannelKind]] = frozenset({"exec", "forward-local"})
"""Channels whose mere existence means that somebody is at work: an IDE's tunnels, a command."""
_DOING: Final = {
    Capability.VIEW: "watch the shared terminal",
    Capability.TYPE: "type in the shared terminal",
    Capability.SHELL: "open a shell",
    Capability.EXEC: "run commands",
    Capability.READ: "read files",
    Capability.WRITE: "write files",
    Capability.FORWARD_LOCAL: "connect to ports from here",
    Capability.FORWARD_REMOTE: "listen on ports here",
    Capability.AGENT: "forward an agent",
}

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """What a Connection may do to its SSH transport."""

    @property
    def cipher(self) -> str: ...

    @property
    def kex(self) -> str: ...

    def say_goodbye(self, reason: str) -> None:
        """Tell the client why and drop the connection."""
        ...


class ChannelRecord:
    """An open channel, as shown to people; whoever opens it counts its bytes and releases it."""

    __slots__ = (
        "_connection", "close", "detail", "held_by", "id", "kind", "opened_at", "received", "sent",
    )  # fmt: skip

    def __init__(
        self,
        connection: "Connection",
        number: int,
        kind: ChannelKind,
        detail: str,
        close: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self.id = number
        self.kind: ChannelKind = kind
        self.detail = detail
        self.opened_at = time.time()
        self.received = 0
        self.sent = 0
        self.held_by = ""
        """Who holds the output of a command that has ended."""
        self.close = close
        """Ends the channel at once, showing the text to its user where that is possible."""

    def count_received(self, size: int) -> None:
        """`size` bytes came from the client."""
        self.received += size
        self._connection.meter.count_received(size)
        self._connection.last_activity = time.time()

    def count_sent(self, size: int) -> None:
        """`size` bytes go to the client."""
        self.sent += size
        self._connection.meter.count_sent(size)
        self._connection.active()

    def release(self) -> None:
        """The channel is closed; harmless when repeated."""
        self._connection.channels.pop(self.id, None)

    def shown(self) -> ChannelView:
        return ChannelView(
            id=self.id,
            kind=self.kind,
            detail=printable(self.detail),
            opened_at=self.opened_at,
            received=self.received,
            sent=self.sent,
            held_by=self.held_by,
        )


class Connection:
    """A client that has connected; an access_control.Guest from `authenticated` on."""

    def __init__(
        self,
        access_control: AccessControl,
        settings: SSHSettings,
        origin: StreamOrigin,
        server_address: tuple[str, int],
        programs: Guests,
    ) -> None:
        self.access_control = access_control
        self.programs = programs
        self.settings = settings
        self.origin = origin
        self.server_address = server_address
        """Our end of the stream, for SSH_CONNECTION."""
        self.client_id: ClientId = new_client_id()
        self.meter = Meter()
        self.last_activity = time.time()
        self.channels: dict[int, ChannelRecord] = {}
        self.transfers: dict[tuple[str, float], Transfer] = {}
        self.arrival: Arrival | None = None
        self.grant: Grant | None = None
        """The decision, replaced live; None while nobody has decided."""
        self.transport: Transport | None = None
        self.services: ClientServices | None = None
        self.closed = False
        """The transport is gone, or the client is shown out: nothing begins any more."""
        self.gave_up = False
        """The person pressed Ctrl-C while waiting to be let in."""
        self._numbers = 0
        self._quiet_until = 0.0
        self._decision: asyncio.Future[Grant] = asyncio.get_running_loop().create_future()
        self._admission: asyncio.Task[Grant] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._notices: list[Callable[[str], None]] = []
        self._regrants: list[Callable[[Grant], None]] = []

    # What sessions and services use

    @property
    def decided(self) -> bool:
        """Whether `granted` would return or raise without waiting."""
        return self._decision.done()

    async def granted(self) -> Grant:
        """Wait for the decision. Raises RefusedError with a message for the client."""
        await asyncio.shield(self._decision)
        if self.closed:
            raise RefusedError(GONE)
        assert self.grant is not None
        return self.grant

    @property
    def limits(self) -> KeyLimits:
        """What the line that lists the key takes from it."""
        return UNLIMITED if self.grant is None else self.grant.limits

    def variables(self) -> dict[str, str]:
        """What programs are told of the connection, as sshd tells them."""
        origin, (address, port) = self.origin, self.server_address
        told = {
            "SSH_CLIENT": f"{origin.client_host} {origin.client_port} {port}",
            "SSH_CONNECTION": f"{origin.client_host} {origin.client_port} {address} {port}",
        }
        agent = self.services.agent_path if self.services is not None else None
        if agent is not None:
            told["SSH_AUTH_SOCK"] = agent
        return told

    def can(self, capability: Capability) -> bool:
        return self.grant is not None and self.grant.role.can(capability)

    def check(self, capability: Capability) -> None:
        """Raise RefusedError unless the present role allows `capability`."""
        if self.grant is None:
            raise RefusedError("not let in yet")
        if not self.grant.role.can(capability):
            role = self.grant.role.name
            raise RefusedError(f"your role here ({role}) may not {_DOING[capability]}")

    def open_channel(
        self, kind: ChannelKind, detail: str, close: Callable[[str], None]
    ) -> ChannelRecord:
        """Register a channel. Raises RefusedError when the client has too many."""
        if len(self.channels) >= self.settings.limits.channels:
            raise RefusedError(f"too many channels: at most {self.settings.limits.channels}")
        self._numbers += 1
        record = ChannelRecord(self, self._numbers, kind, detail, close)
        self.channels[record.id] = record
        return record

    def add_transfer(self, transfer: Transfer) -> None:
        """Remember a transfer, new or in place of the one with the same path and start."""
        self.transfers[transfer.path, transfer.started_at] = transfer
        if len(self.transfers) > MAX_TRANSFERS:
            del self.transfers[next(iter(self.transfers))]

    def active(self) -> None:
        """Something was sent; what shows a notice of ours and takes it away is nobody's doing."""
        now = time.time()
        if now >= self._quiet_until:
            self.last_activity = now

    def wants(self, what: str) -> None:
        """Tell who decides what a client that still waits has asked for."""
        if not self.decided and not self.closed:
            self.access_control.wants(self.client_id, printable(what))

    def on_notice(self, show: Callable[[str], None]) -> Callable[[], None]:
        """Have `show` called with each notice; the result ends that."""
        return _listed(self._notices, show)

    def on_regrant(self, changed: Callable[[Grant], None]) -> Callable[[], None]:
        """Have `changed` called with each new grant; the result ends that."""
        return _listed(self._regrants, changed)

    # What the server calls

    def arrives(self, user: str, key: str, fingerprint: Fingerprint, program: str) -> Arrival:
        """The Arrival that a key would make."""
        return arrival(self.origin, self.client_id, user, key, fingerprint, program)

    def authenticated(self, arrival: Arrival) -> None:
        """The key is proved: ask for the decision."""
        self.arrival = arrival
        self._admission = asyncio.get_running_loop().create_task(
            self.access_control.admit(arrival, self), name=f"admit-{self.client_id}"
        )
        self._admission.add_done_callback(self._admitted)

    def lost(self, reason: str) -> None:
        """The transport is gone; called once. `reason` is empty when the client just left."""
        self.closed = True
        if self._linger is not None:
            self._linger.cancel()
        if self._admission is not None:
            self._admission.cancel()
        if not self._decision.done():
            self._decision.set_exception(RefusedError(GONE))
            self._decision.exception()
        if self.services is not None:
            self.services.close()
        if self.arrival is not None:
            self.access_control.left(self.client_id, GAVE_UP if self.gave_up else reason)

    def _admitted(self, task: "asyncio.Task[Grant]") -> None:
        if self._decision.done() or self.closed:
            return
        error = RefusedError("cancelled by the host") if task.cancelled() else task.exception()
        if error is None:
            self.grant = self.grant or task.result().in_effect()
            self._decision.set_result(self.grant)
            return
        if not isinstance(error, RefusedError):
            _log.error("deciding on %s failed", self.client_id, exc_info=error)
            error = RefusedError("the host could not decide: see its log")
        self._decision.set_exception(error)
        self._decision.exception()
        self._linger = asyncio.get_running_loop().call_later(
            REFUSAL_LINGER, self.disconnect, str(error)
        )

    # What the decisions call (access_control.Guest)

    def apply(self, grant: Grant) -> None:
        """Use `grant` from now on, closing what it no longer allows."""
        grant = grant.in_effect()
        loses_exec = self.can(Capability.EXEC) and not grant.role.can(Capability.EXEC)
        self.grant = grant
        for changed in list(self._regrants):  # first: a viewer that loses its right ends, not waits
            changed(grant)
        for record in list(self.channels.values()):
            needed = NEEDED[record.kind]
            writes = record.kind == "files" and grant.role.can(Capability.WRITE)
            if not grant.role.can(needed) and not writes:
                record.close(f"your role is now {grant.role.name}: you may not {_DOING[needed]}")
        if self.services is not None:
            self.services.apply(grant)
        if loses_exec:
            self._end_programs()

    def notify(self, text: str) -> None:
        self._quiet_until = time.time() + NOTICE_S
        for show in list(self._notices):
            show(printable(text))

    def disconnect(self, message: str) -> None:
        if self.closed:
            return
        self.closed = True
        if not self._decision.done():
            self._decision.set_exception(RefusedError(message))
            self._decision.exception()
        for record in list(self.channels.values()):
            record.close(message)
        if self.services is not None:
            self.services.close()
        self._end_programs()
        if self.transport is not None:
            self.transport.say_goodbye(printable(message))

    def _end_programs(self) -> None:
        if self.arrival is not None:
            self.programs.end_client(self.client_id, self.arrival.fingerprint)

    def report(self) -> GuestReport:
        name = self.grant.name if self.grant is not None else ""
        forwards = self.services.forwards() if self.services is not None else []
        return GuestReport(
            cipher=self.transport.cipher if self.transport is not None else "",
            kex=self.transport.kex if self.transport is not None else "",
            last_activity=self.last_activity,
            channels=[record.shown() for record in self.channels.values()],
            forwards=[msgspec.structs.replace(forward, client_name=name) for forward in forwards],
            transfers=list(self.transfers.values()),
        )

    def presence(self) -> Presence:
        busy = any(record.kind in BUSY_KINDS for record in self.channels.values()) or any(
            transfer.finished_at is None for transfer in self.transfers.values()
        )
        return Presence(self.last_activity, busy)


def arrival(
    origin: StreamOrigin,
    client_id: ClientId,
    user: str,
    key: str,
    fingerprint: Fingerprint,
    program: str,
) -> Arrival:
    """The Arrival that a key makes, or would make."""
    return Arrival(
        client_id=client_id,
        way=origin.way,
        route=origin.route,
        user=printable(user),
        key=key,
        fingerprint=fingerprint,
        vouched=origin.way == "plain",
        address=origin.client_host,
        port=origin.client_port,
        program=printable(program),
    )


def printable(text: str, limit: int = 300) -> str:
    """Text of a client without control characters, at most `limit` characters long."""
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    clean = text.strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _listed(listeners: list[T], listener: T) -> Callable[[], None]:
    listeners.append(listener)

    def remove() -> None:
        with contextlib.suppress(ValueError):
            listeners.remove(listener)

    return remove
