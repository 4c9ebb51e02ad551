"""Asks hosts for streams and hands each stream that arrives to the client that waits for it.

It sits between the registry, which decides, and the channels that carry the words and the bytes.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uptui.errors import RefusedError
from uptui.protocol import control
from uptui.protocol.names import RouteName, StreamId, Way, masked
from uptui.relay.aliases import owner_of
from uptui.relay.expected import Expected
from uptui.relay.metrics import Metrics
from uptui.relay.registry import BusyError, Dial, Host, HostId, Registry
from uptui.relay.settings import Address, Limits
from uptui.relay.splice import Joint, Leg, Splices, Tally

RESTARTING: Final = "the relay is restarting; connect again in a moment"
MANY: Final = 1_000_000
SETTLE_INTERVAL: Final = 0.02

Send = Callable[[control.FromRelay], None]


@dataclass(frozen=True)
class Caller:
    """The client for whom a stream is wanted."""

    address: Address
    verified_key: str | None = None
    user: str | None = None
    client_version: str | None = None


@dataclass
class HostStream:
    """A stream that its host has opened; nothing is read from it until it is used."""

    leg: Leg
    early: bytes = b""
    """What the host had already said behind the preamble."""
    owner: HostId | None = None
    """The host that opened it; set when it is handed to its client."""


@dataclass
class Channel:
    """How to talk to a host; neither call waits."""

    send: Send
    close: Callable[[control.Goodbye | None], None]
    """Ends the control channel, with a last word if there is one."""


class Switchboard:
    """One per relay."""

    def __init__(
        self, registry: Registry, limits: Limits, metrics: Metrics, now: Callable[[], float]
    ) -> None:
        """`now` gives monotonic seconds."""
        self.registry = registry
        self.splices = Splices()
        self.tallies: dict[tuple[RouteName, Way], Tally] = {}
        self.limits = limits
        self.now = now
        self.expected = Expected()
        self.draining = False
        """True refuses every new stream."""
        self.max_streams = MANY
        """Clients of one host at once."""
        self.spent: frozenset[str] = frozenset()
        """Owners whose bytes of this month are used up (aliases.owner_of)."""
        self._metrics = metrics
        self._channels: dict[HostId, Channel] = {}
        self._deserted = asyncio.Event()
        self._deserted.set()
        self._waiting: dict[StreamId, asyncio.Future[HostStream]] = {}

    def connect(self, host: Host, channel: Channel) -> None:
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

    def channel(self, host_id: HostId) -> Channel | None:
        """How to talk to this host while it is connected."""
        return self._channels.get(host_id)

    def hosts(self) -> list[Channel]:
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

    def joint(self, name: str, way: Way, stream: HostStream, on_end: Callable[[], None]) -> Joint:
        """The account of a client of `name` that got `stream`; its `abort` is the caller's."""
        owner = stream.owner or HostId(0)
        host = self.registry.host(owner)
        key = (RouteName(name), way)
        tally = self.tallies.get(key)
        if tally is None:
            tally = Tally(owner_of(host.identity) if host is not None else "")
            self.tallies[key] = tally

        def ended() -> None:
            self._metrics.stream_closed(way)
            on_end()

        return Joint(owner, tally, stream.leg.abort, ended)

    async def call(self, name: str, way: Way, caller: Caller) -> HostStream:
        """Ask the host of `name` for a stream and wait for it.

        Raises RefusedError with a message for the client when there is no such session, the relay
        is busy, or the host does not answer in time.
        """
        await self.expected.wait(name)
        dial, channel = self._begin(name, way)
        waiter: asyncio.Future[HostStream] = asyncio.get_running_loop().create_future()
        self._waiting[dial.stream_id] = waiter
        started = self.now()
        channel.send(_message(dial, caller, self.limits.dial_timeout))
        try:
            async with asyncio.timeout(self.limits.dial_timeout):
                stream = await waiter
        except TimeoutError:
            self._metrics.refused("dial_timeout")
            raise RefusedError(
                f"the host of {masked(name)} did not answer in time; try again"
            ) from None
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().leg.abort()
            raise
        finally:
            self._waiting.pop(dial.stream_id, None)
            self.registry.abandon(dial.stream_id)
        self._metrics.stream_opened(way, self.now() - started)
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

    def _begin(self, name: str, way: Way) -> tuple[Dial, Channel]:
        self._check(self.registry.serving(name))
        try:
            dial = self.registry.dial(name, way, self.now(), self.limits.dial_timeout)
        except BusyError:
            self._metrics.refused("pending_dials")
            raise RefusedError("too many clients are waiting right now; try again") from None
        channel = None if dial is None else self._channels.get(dial.host)
        if dial is None or channel is None:
            self._metrics.refused("no_session")
            raise RefusedError(no_session(name))
        return dial, channel

    def _check(self, host: Host | None) -> None:
        """Raises RefusedError when nobody, or this host, may have another stream now."""
        if self.draining:
            self._metrics.refused("draining")
            raise RefusedError(RESTARTING)
        if host is None:
            return
        if self.splices.count(host.id) + host.pending >= self.max_streams:
            self._metrics.refused("streams")
            raise RefusedError("this host has as many clients as the relay allows; try again later")
        if owner_of(host.identity) in self.spent:
            self._metrics.refused("bytes")
            raise RefusedError("what this host may move in a month over this relay is used up")

    def _fail(self, dial: Dial, message: str) -> None:
        self.registry.abandon(dial.stream_id)
        waiter = self._waiting.get(dial.stream_id)
        if waiter is not None and not waiter.done():
            waiter.set_exception(RefusedError(message))


def no_session(name: str) -> str:
    """What a client is told who asks for a name that nobody serves."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:64])
    return f"no session called {shown!r} here; ask its owner for the current address"


def _message(dial: Dial, caller: Caller, timeout: float) -> control.Dial:
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
