"""Asks hosts for streams and hands each stream that arrives to the client that waits for it.

It sits between the registry, which decides, and the channels that carry the words and the bytes.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uptui.errors import RefusedError
from uptui.net.sources import source_of
from uptui.protocol import control
from uptui.protocol.names import RouteName, StreamId, Way, masked, split_secret
from uptui.relay.accounts.alias_rules import owner_of
from uptui.relay.metrics import Metrics
from uptui.relay.settings import RelayLimits, SocketAddress
from uptui.relay.tunnel.pipe import Pipe, PipeEnd, Pipes, Tally
from uptui.relay.tunnel.registry import BusyError, ConnectedHost, HostId, PendingDial, Registry
from uptui.relay.tunnel.returning_hosts import ReturningHosts

RESTARTING: Final = "the relay is restarting; connect again in a moment"
BUSY: Final = "too many clients are waiting right now; try again"
MANY: Final = 1_000_000
SETTLE_INTERVAL: Final = 0.02

_LOST: Final = {
    "released": "the alias was released",
    "transferred": "the alias belongs to somebody else now",
}

Send = Callable[[control.FromRelay], None]


@dataclass(frozen=True)
class Caller:
    """The client for whom a stream is wanted."""

    address: SocketAddress
    verified_key: str | None = None
    user: str | None = None
    client_version: str | None = None


@dataclass
class HostStream:
    """A stream that its host has opened; nothing is read from it until it is used."""

    end: PipeEnd
    early: bytes = b""
    """What the host had already said behind the preamble."""
    owner: HostId | None = None
    """The host that opened it; set when it is handed to its client."""


@dataclass
class ControlSender:
    """How to talk to a host; neither call waits."""

    send: Send
    close: Callable[[control.Goodbye | None], None]
    """Ends the control channel, with a last word if there is one."""


class Broker:
    """One per relay."""

    def __init__(
        self, registry: Registry, limits: RelayLimits, metrics: Metrics, now: Callable[[], float]
    ) -> None:
        """`now` gives monotonic seconds."""
        self.registry = registry
        self.pipes = Pipes()
        self.tallies: dict[tuple[RouteName, Way], Tally] = {}
        self.limits = limits
        self.now = now
        self.expected = ReturningHosts()
        self.draining = False
        """True refuses every new stream."""
        self.max_streams = MANY
        """Clients of one host at once."""
        self.spent: frozenset[str] = frozenset()
        """Owners whose bytes of this month are used up (aliases.owner_of)."""
        self.metrics = metrics
        self._channels: dict[HostId, ControlSender] = {}
        self._deserted = asyncio.Event()
        self._deserted.set()
        self._waiting: dict[StreamId, asyncio.Future[HostStream]] = {}

    def connect(self, host: ConnectedHost, channel: ControlSender) -> None:
        """From now on this host can be asked."""
        self._channels[host.id] = channel
        self._deserted.clear()

    def disconnect(self, host_id: HostId) -> frozenset[RouteName]:
        """The host is gone: its waiting clients fail now. Returns names nobody serves any more."""
        self._channels.pop(host_id, None)
        if not self._channels:
            self._deserted.set()
        for dial in () if self.draining else self.registry.dials_of(host_id):
            self._fail(dial, "the host has just lost its connection to the relay; try again")
        return self.registry.remove_host(host_id)

    def withdraw(
        self, host: ConnectedHost, name: RouteName, reason: control.WithdrawalReason
    ) -> None:
        """Stop this host's route, which belongs to it no more, and tell it."""
        self.registry.withdraw(host, name)
        self.tell_withdrawn(host, name, reason)

    def tell_withdrawn(
        self, host: ConnectedHost, name: RouteName, reason: control.WithdrawalReason
    ) -> None:
        """Let a host know that it has lost a name."""
        channel = self._channels.get(host.id)
        if channel is not None:
            message = f"{_LOST[reason]}; choose another alias, or claim it again"
            channel.send(control.Withdrawn(name=name, reason=reason, message=message))

    def channel(self, host_id: HostId) -> ControlSender | None:
        """How to talk to this host while it is connected."""
        return self._channels.get(host_id)

    def hosts(self) -> list[ControlSender]:
        """Every open control channel."""
        return list(self._channels.values())

    async def deserted(self, within: float) -> None:
        """Wait until no host is connected, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._deserted.wait()

    async def settled(self, within: float, others: Callable[[], bool] = lambda: False) -> None:
        """Wait until no client waits for a stream, nor `others`, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.registry.pending or others():  # noqa: ASYNC110 - the registry does no IO
                    await asyncio.sleep(SETTLE_INTERVAL)

    def pipe(self, name: str, way: Way, stream: HostStream, on_end: Callable[[], None]) -> Pipe:
        """The account of a client of `name` that got `stream`; its `abort` is the caller's."""
        owner = stream.owner or HostId(0)
        host = self.registry.host(owner)
        key = (RouteName(name), way)
        tally = self.tallies.get(key)
        if tally is None:
            tally = Tally(owner_of(host.identity) if host is not None else "")
            self.tallies[key] = tally

        def ended() -> None:
            self.metrics.stream_closed(way)
            on_end()

        return Pipe(owner, tally, stream.end.abort, ended)

    async def call(self, name: str, way: Way, caller: Caller) -> HostStream:
        """Ask the host of `name` for a stream and wait for it.

        Raises RefusedError with a message for the client when there is no such session, the relay
        is busy, or the host does not answer in time.
        """
        await self.expected.wait(name)
        dial, channel = self._begin(name, way, source_of(caller.address.host))
        waiter: asyncio.Future[HostStream] = asyncio.get_running_loop().create_future()
        self._waiting[dial.stream_id] = waiter
        started = self.now()
        channel.send(_message(dial, caller, self.limits.dial_timeout))
        try:
            async with asyncio.timeout(self.limits.dial_timeout):
                stream = await waiter
        except TimeoutError:
            self.metrics.refused("dial_timeout")
            raise RefusedError(
                f"the host of {masked(name)} did not answer in time; try again"
            ) from None
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().end.abort()
            raise
        finally:
            self._waiting.pop(dial.stream_id, None)
            self.registry.abandon(dial.stream_id)
        self.metrics.stream_opened(way, self.now() - started)
        return stream

    def expects(self, stream_id: StreamId) -> bool:
        """Whether a client waits for this stream; spends nothing."""
        return stream_id in self._waiting

    def arrived(self, stream_id: StreamId, stream: HostStream) -> bool:
        """A stream came: hand it to its client. False when nobody waits for it any more."""
        dial = self.registry.claim(stream_id, self.now())
        waiter = self._waiting.get(stream_id)
        if dial is None or waiter is None or waiter.done():
            return False
        stream.owner = dial.host
        waiter.set_result(stream)
        return True

    def dial_failed(self, host_id: HostId, stream_id: StreamId) -> None:
        """The host says that no stream will come."""
        dial = self.registry.abandon(stream_id, host_id)
        if dial is not None:
            self._fail(dial, "the host could not open a stream to the relay; try again")

    def _begin(self, name: str, way: Way, source: str) -> tuple[PendingDial, ControlSender]:
        self._check(self.registry.serving(name))
        while (crowding := self.registry.crowded_out(name, source, self.now())) is not None:
            self.metrics.refused("pending_dials")
            self._fail(crowding, BUSY)
        try:
            dial = self.registry.dial(name, way, self.now(), self.limits.dial_timeout, source)
        except BusyError:
            self.metrics.refused("pending_dials")
            raise RefusedError(BUSY) from None
        channel = None if dial is None else self._channels.get(dial.host)
        if dial is None or channel is None:
            self.metrics.refused("no_session")
            raise RefusedError(no_session(name))
        return dial, channel

    def _check(self, host: ConnectedHost | None) -> None:
        """Raises RefusedError when nobody, or this host, may have another stream now."""
        if self.draining:
            self.metrics.refused("draining")
            raise RefusedError(RESTARTING)
        if host is None:
            return
        if self.pipes.count(host.id) + host.pending >= self.max_streams:
            self.metrics.refused("streams")
            raise RefusedError("this host has as many clients as the relay allows; try again later")
        if owner_of(host.identity) in self.spent:
            self.metrics.refused("bytes")
            raise RefusedError("what this host may move in a month over this relay is used up")

    def _fail(self, dial: PendingDial, message: str) -> None:
        self.registry.abandon(dial.stream_id)
        waiter = self._waiting.get(dial.stream_id)
        if waiter is not None and not waiter.done():
            waiter.set_exception(RefusedError(message))


def no_session(name: str) -> str:
    """What a client is told who asks for a name that nobody serves."""
    public, secret = split_secret(name)
    if secret:
        return f"the secret belongs into the user name, where no relay sees it: {name}@{public}"
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:64])
    return f"no session called {shown!r} here; ask its owner for the current address"


def _message(dial: PendingDial, caller: Caller, timeout: float) -> control.Dial:
    return control.Dial(
        stream_id=dial.stream_id,
        way=dial.way,
        name=dial.name,
        client_host=caller.address.host,
        client_port=caller.address.port,
        expires_in=timeout,
        verified_key=caller.verified_key,
        user=caller.user,
        client_version=caller.client_version,
    )
