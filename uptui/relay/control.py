"""The relay's end of the control channel: leases, publishing, dials, goodbyes.

One instance serves every `/v1/control` WebSocket. What may be published is the Doorkeeper's
decision, who serves what is the Registry's; this module carries the words (docs/protocol.md).
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from uptui import __version__
from uptui.errors import ProtocolError, StateError
from uptui.protocol import control
from uptui.protocol.control import Goodbye, GoodbyeReason, Publish, Published
from uptui.protocol.names import RouteName
from uptui.relay.api.problems import deny
from uptui.relay.identity import Authenticator, Doorkeeper, Identity
from uptui.relay.ports import DirectPorts
from uptui.relay.registry import Host, shape_refusals
from uptui.relay.switchboard import Channel, Switchboard

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

    def __init__(self, websocket: WebSocket, host: Host) -> None:
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

    authenticator: Authenticator
    doorkeeper: Doorkeeper
    switchboard: Switchboard
    ports: DirectPorts
    welcome: Callable[[], control.Welcome]
    draining: Callable[[], bool]

    async def serve(self, websocket: WebSocket) -> None:
        """The endpoint of `/v1/control`."""
        host = await self._admit(websocket)
        if host is None:
            return
        session = _Session(websocket, host)
        goodbye: Goodbye | None = None
        try:
            await websocket.accept()
            channel = Channel(session.send, session.end)
            self.switchboard.connect(host, channel)
            session.send(self.welcome())
            goodbye = await self._converse(session)
        finally:
            for name in self.switchboard.disconnect(host.id):
                if not self.draining():
                    self._unpublished(name)
            await session.say_goodbye(goodbye)
            log.info("relay.host_left", host=host.id, fingerprint=host.identity.fingerprint)

    async def _admit(self, websocket: WebSocket) -> Host | None:
        """Check the bearer. None: the WebSocket was refused with a status and the reason."""
        if self.draining():
            await deny(websocket, 503, "draining", "this relay is shutting down")
            return None
        scheme, _, bearer = websocket.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer:
            await deny(websocket, 401, "unauthorized", "a bearer token from /v1/credentials")
            return None
        identity = await self._identity(websocket, bearer.strip())
        if identity is None:
            return None
        client = websocket.client
        address = client.host if client else ""
        host = self.switchboard.registry.add_host(identity, address, self.switchboard.now())
        if host is None:
            await deny(websocket, 503, "busy", "this relay has no room for more hosts")
            return None
        log.info("relay.host_came", host=host.id, fingerprint=identity.fingerprint)
        return host

    async def _identity(self, websocket: WebSocket, bearer: str) -> Identity | None:
        try:
            identity = await self.authenticator.identity_of(bearer)
        except StateError:
            log.exception("relay.store_failed")
            await deny(websocket, 503, "unavailable", "the relay's store failed; try again")
            return None
        if identity is None:
            await deny(websocket, 401, "unauthorized", "the bearer token is unknown or expired")
        return identity

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
        limits = self.switchboard.limits
        rate = _Rate(limits.control_messages_per_minute, self.switchboard.now())
        wait = control.HELLO_TIMEOUT
        while True:
            try:
                async with asyncio.timeout(wait):
                    frame = await session.websocket.receive_text()
            except KeyError:
                raise _end("protocol", "control frames are text, not binary") from None
            now = self.switchboard.now()
            session.host.last_seen = now
            if not rate.take(now):
                raise _end("quota", "too many control messages", 60.0)
            try:
                await self._answer(session, control.decode_from_host(frame))
            except ProtocolError as error:
                raise _end("protocol", str(error)) from error
            except StateError as error:
                log.error("relay.store_failed", error=str(error))  # noqa: TRY400 - says all
                raise _end("draining", "the relay's store failed; try again", 10.0) from error
            if session.host.revision >= 0:
                wait = limits.lease

    async def _answer(self, session: _Session, message: control.FromHost) -> None:
        match message:
            case control.Ping(n=n):
                session.send(control.Pong(n=n))
            case control.DialFailed(stream_id=stream_id, reason=reason):
                log.info("relay.dial_failed", host=session.host.id, reason=reason[:200])
                self.switchboard.dial_failed(session.host.id, stream_id)
            case Publish():
                session.send(await self._publish(session.host, message))

    async def _publish(self, host: Host, wish: Publish) -> Published:
        shapeless = shape_refusals(wish.routes)
        possible = [route for route in wish.routes if route.name not in shapeless]
        asked = _with_routes(wish, possible)
        refused = await self.doorkeeper.review(host.identity, asked)
        if host.ousted:
            raise _end("superseded", "a newer daemon of this identity has taken over")
        change = self.switchboard.registry.publish(host, asked, refused)
        for name in change.closed:
            self._unpublished(name)
        took_over = self._oust(change.superseded, wish.instance)
        granted = [
            control.Granted(
                name=route.name,
                kind=route.kind,
                port=await self.ports.open(route.name) if route.port else None,
            )
            for route in change.accepted
        ]
        for route in change.accepted:
            if not route.port:
                self.ports.close(route.name)
            self.switchboard.expected.came(route.name)
        return Published(
            revision=wish.revision,
            granted=granted,
            refused=[*shapeless.values(), *change.refused],
            took_over=took_over,
        )

    def _oust(self, older: Host | None, instance: str) -> str | None:
        """Send the older daemon away. Returns its address when it is really another one."""
        if older is None:
            return None
        channel = self.switchboard.channel(older.id)
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


def _with_routes(wish: Publish, routes: list[control.Route]) -> Publish:
    return Publish(
        revision=wish.revision,
        instance=wish.instance,
        routes=routes,
        host_keys=wish.host_keys,
        e2e_only=wish.e2e_only,
        software=wish.software,
    )
