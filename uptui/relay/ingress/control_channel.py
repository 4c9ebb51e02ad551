"""The relay's end of the control channel: leases, publishing, dials, goodbyes.

One instance serves every `/v1/control` WebSocket. What may be published is the RoutePolicy's
decision, who serves what is the Registry's; this module carries the words (docs/protocol.md).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from uptui import __version__
from uptui.errors import ProtocolError, StateError
from uptui.net.sources import source_of
from uptui.protocol import control
from uptui.protocol.control import (
    Goodbye,
    GoodbyeReason,
    Granted,
    Publish,
    Published,
    Refusal,
    Route,
)
from uptui.protocol.names import RouteName
from uptui.relay.accounts.alias_rules import owner_of
from uptui.relay.accounts.port_limits import Holder
from uptui.relay.accounts.route_policy import RoutePolicy
from uptui.relay.api.access import caller_of
from uptui.relay.api.problems import deny
from uptui.relay.api.rate_limit import Failures
from uptui.relay.gateway.screening import Screener
from uptui.relay.ingress.direct_ports import DirectPorts
from uptui.relay.tunnel.broker import Broker, ControlSender
from uptui.relay.tunnel.registry import ConnectedHost, shape_refusals

MAX_OUTGOING: Final = 1024
"""Messages that may wait for a host that does not read."""
GOODBYE_TIMEOUT: Final = 2.0
RETRY_AFTER_DRAIN: Final = 1.0
"""Seconds after which hosts of a draining relay may come back; they add their own jitter."""
SOFTWARE: Final = f"uptui/{__version__}"

log = structlog.get_logger()


class _EndError(Exception):
    """The channel ends, with this last word if there is one."""

    def __init__(self, goodbye: Goodbye | None) -> None:
        super().__init__()
        self.goodbye = goodbye


def _end(reason: GoodbyeReason, message: str, retry: float | None = None) -> _EndError:
    return _EndError(Goodbye(reason=reason, message=message, retry_after=retry))


class _Session:
    """One open control channel."""

    def __init__(self, websocket: WebSocket, host: ConnectedHost) -> None:
        self.websocket = websocket
        self.host = host
        self._outgoing: asyncio.Queue[control.FromRelay] = asyncio.Queue(MAX_OUTGOING)
        self._last_word: asyncio.Future[Goodbye | None] = asyncio.get_running_loop().create_future()

    def send(self, message: control.FromRelay) -> None:
        """Queue a message; a host that lets MAX_OUTGOING of them wait is dropped."""
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            self.end(None)

    def end(self, goodbye: Goodbye | None) -> None:
        """Finish the channel, with a last word if there is one."""
        if not self._last_word.done():
            self._last_word.set_result(goodbye)

    async def ended(self) -> None:
        """Wait for `end`."""
        raise _EndError(await self._last_word)

    async def write(self) -> None:
        """Send what is queued, for ever."""
        while True:
            await self.websocket.send_text(control.encode(await self._outgoing.get()))

    async def say_goodbye(self, goodbye: Goodbye | None) -> None:
        """Send the last word and close; a host that does not take it is left alone."""
        if self.websocket.application_state is not WebSocketState.CONNECTED:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(GOODBYE_TIMEOUT):
                if goodbye is not None:
                    await self.websocket.send_text(control.encode(goodbye))
                await self.websocket.close(1000 if goodbye is not None else 1001)


class _Rate:
    """At most so many messages within a minute, in bursts if need be."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_second = per_minute / 60
        self._most = float(per_minute)
        self._left = self._most
        self._at = now

    def take(self, now: float) -> bool:
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        self._left -= 1
        return self._left >= 0


@dataclass(frozen=True)
class ControlPlane:
    """Serves control channels."""

    policy: RoutePolicy
    broker: Broker
    screener: Screener
    ports: DirectPorts
    welcome: Callable[[], control.Welcome]
    draining: Callable[[], bool]
    failures: Failures

    async def serve(self, websocket: WebSocket) -> None:
        """The endpoint of `/v1/control`."""
        host = await self._admit(websocket)
        if host is None:
            return
        session = _Session(websocket, host)
        goodbye: Goodbye | None = None
        try:
            await websocket.accept()
            channel = ControlSender(session.send, session.end)
            self.broker.connect(host, channel)
            session.send(self.welcome())
            goodbye = await self._converse(session)
        finally:
            for name in self.broker.disconnect(host.id):
                if not self.draining():
                    self._unpublished(name)
            await session.say_goodbye(goodbye)
            log.info("relay.host_left", host=host.id, fingerprint=host.identity.fingerprint)

    async def _admit(self, websocket: WebSocket) -> ConnectedHost | None:
        """Find room for a host. None: the WebSocket was refused with a status and the reason."""
        if self.draining():
            await deny(websocket, 503, "draining", "this relay is shutting down")
            return None
        identity = caller_of(websocket.scope).identity
        assert identity is not None, "the table of permissions lets identities pass"
        address = websocket.client.host if websocket.client else ""
        if not self.failures.may_open(identity.fingerprint):
            problem = "this identity opens control channels too often; is it in use twice?"
            await deny(websocket, 429, "rate_limited", problem)
            return None
        host = self.broker.registry.add_host(identity, address, self.broker.now())
        if host is None:
            await deny(websocket, 503, "busy", "this relay has no room for more hosts")
            return None
        log.info("relay.host_came", host=host.id, fingerprint=identity.fingerprint)
        return host

    async def _converse(self, session: _Session) -> Goodbye | None:
        """Read and answer until somebody ends it. Returns the last word to say, if any."""
        goodbyes: list[Goodbye | None] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.write())
                group.create_task(session.ended())
                group.create_task(self._read(session))
        except* _EndError as ended:
            goodbyes = [error.goodbye for error in ended.exceptions if isinstance(error, _EndError)]
        except* (WebSocketDisconnect, TimeoutError):
            pass
        return next((goodbye for goodbye in goodbyes if goodbye), None)

    async def _read(self, session: _Session) -> None:
        limits = self.broker.limits
        rate = _Rate(limits.control_messages_per_minute, self.broker.now())
        wait = control.HELLO_TIMEOUT
        while True:
            try:
                async with asyncio.timeout(wait):
                    frame = await session.websocket.receive_text()
            except KeyError:
                raise _end("protocol", "control frames are text, not binary") from None
            now = self.broker.now()
            session.host.last_seen = now
            try:
                message = control.decode_from_host(frame)
                if not (self._awaited(session.host, message) or rate.take(now)):
                    raise _end("quota", "too many control messages", 60.0)
                await self._answer(session, message)
            except ProtocolError as error:
                raise _end("protocol", str(error)) from error
            if session.host.revision >= 0:
                wait = limits.lease

    def _awaited(self, host: ConnectedHost, message: control.FromHost) -> bool:
        """Take an answer about a key, which strangers cause and so costs a host nothing."""
        return isinstance(message, control.Screened) and self.screener.answered(host.id, message)

    async def _answer(self, session: _Session, message: control.FromHost) -> None:
        match message:
            case control.Ping(n=n):
                session.send(control.Pong(n=n))
            case control.DialFailed(stream_id=stream_id, reason=reason):
                log.info("relay.dial_failed", host=session.host.id, reason=reason[:200])
                self.broker.dial_failed(session.host.id, stream_id)
            case Publish():
                session.send(await self._publish(session.host, message))
            case control.Screened():
                pass  # an answer that comes too late

    async def _publish(self, host: ConnectedHost, wish: Publish) -> Published:
        shapeless = shape_refusals(wish.routes)
        possible = [route for route in wish.routes if route.name not in shapeless]
        asked = _with_routes(wish, possible)
        refused = await self._review(host, asked)
        if host.ousted:
            raise _end("superseded", "a newer daemon of this identity has taken over")
        change = self.broker.registry.publish(host, asked, refused)
        for name in change.closed:
            self._unpublished(name)
        for former, name in change.displaced:
            self._unpublished(name)
            self.broker.tell_withdrawn(former, name, "transferred")
        took_over = self._oust(change.superseded, wish.instance)
        granted, portless = await self._grant(host, change.accepted)
        return Published(
            revision=wish.revision,
            granted=granted,
            refused=[*shapeless.values(), *change.refused, *portless],
            took_over=took_over,
        )

    async def _review(self, host: ConnectedHost, wish: Publish) -> list[Refusal]:
        """What the RoutePolicy refuses; asked again when a name has changed hands meanwhile. While
        the store fails, every name that does not stand."""
        host.reviewing = frozenset(route.name for route in wish.routes)
        try:
            while True:
                host.outdated = False
                refused = await self.policy.review(host.identity, wish)
                if not host.outdated:
                    return refused
        except StateError as error:
            self._store_failed(error)
            new = (route for route in wish.routes if not self._stands(route.name, host))
            return [_unkept(route.name, "this name", error) for route in new]
        finally:
            host.reviewing = frozenset()

    def _stands(self, name: RouteName, host: ConnectedHost) -> bool:
        """Whether this identity serves the name now, so that nothing has to be decided."""
        serving = self.broker.registry.serving(name)
        return serving is not None and serving.identity.fingerprint == host.identity.fingerprint

    async def _grant(
        self, host: ConnectedHost, routes: Iterable[Route]
    ) -> tuple[list[Granted], list[Refusal]]:
        """Open the ports of accepted routes. A name whose port cannot be kept works without, and is
        told. Those that the host loses meanwhile are left out: it has been told of them, too."""
        ports: dict[RouteName, int | None] = {}
        portless: dict[RouteName, Refusal] = {}
        holder = Holder(owner_of(host.identity), source_of(host.address))
        for route in routes:
            ports[route.name] = None
            if not route.port or route.kind == "invite":  # an invite is one more name of a session
                self.ports.close(route.name)
            else:
                try:
                    ports[route.name] = await self.ports.open(route.name, holder)
                except StateError as error:
                    self._store_failed(error)
                    portless[route.name] = _unkept(
                        route.name, "the direct port of this name", error
                    )
            self.broker.expected.came(route.name)
        serving = self.broker.registry.serving
        for name in ports:
            if serving(name) is None:
                self._unpublished(name)
        granted = [
            Granted(name=route.name, kind=route.kind, port=ports[route.name])
            for route in routes
            if serving(route.name) is host
        ]
        return granted, [portless[one.name] for one in granted if one.name in portless]

    def _store_failed(self, error: StateError) -> None:
        self.broker.metrics.failed("store")
        log.error("relay.store_failed", error=str(error))

    def _oust(self, older: ConnectedHost | None, instance: str) -> str | None:
        """Send the older daemon away. Returns its address when it is really another one."""
        if older is None:
            return None
        channel = self.broker.channel(older.id)
        if channel is not None:
            channel.close(
                Goodbye(
                    reason="superseded",
                    message="a newer daemon of this identity has taken over its names",
                )
            )
        return older.address if older.instance != instance else None

    def _unpublished(self, name: RouteName) -> None:
        self.ports.close(name)


def _unkept(name: RouteName, what: str, error: StateError) -> Refusal:
    message = f"{what} cannot be kept: {error.problem}; the host asks again by itself"
    return Refusal(name=name, code="unavailable", message=message)


def _with_routes(wish: Publish, routes: list[control.Route]) -> Publish:
    return Publish(
        revision=wish.revision,
        instance=wish.instance,
        routes=routes,
        host_keys=wish.host_keys,
        e2e_only=wish.e2e_only,
        software=wish.software,
    )
