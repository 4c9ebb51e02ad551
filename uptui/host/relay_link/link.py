"""Keeps the host reachable: `run` comes back for ever, `try_once` is one attempt that raises."""

import asyncio
import contextlib
import random
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final, Literal

import asyncssh
from websockets.asyncio.client import ClientConnection

from uptui.core.backoff import Backoff
from uptui.errors import (
    NotARelayError,
    ProtocolError,
    RelayRefusedError,
    RelayUnreachableError,
    UptuiError,
)
from uptui.host.keys.identity import public_line
from uptui.host.relay_link.channel import ControlChannel, GoodbyeError, open_channel
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.host.relay_link.relay_client import USER_AGENT, RelayClient
from uptui.host.relay_link.status import LinkStatus, told
from uptui.host.relay_link.streams import Pump, TransportChoice, Way, choose, open_stream
from uptui.host.relay_link.trust import plain_http, tls_context
from uptui.host.sshd.access_control import StreamOrigin
from uptui.host.unforeseen import report_unforeseen
from uptui.net.nearness import Nearness, nearness
from uptui.protocol import border
from uptui.protocol.control import Dial, Goodbye, Publish, Published, Route, Shown, Withdrawn
from uptui.protocol.host_api import Level, RelayView
from uptui.protocol.names import Screening, masked

MAX_DIALS: Final = 256
"""Streams that are being opened at the same time."""
REFUSED_WAIT: Final = 60.0
"""Seconds between tries at a relay that says no, or at something that is no relay."""
UNAVAILABLE_WAIT: Final = 5.0
"""Seconds until names that the relay could not keep for the moment are published again."""
ALONE_REASONS: Final = frozenset({"superseded", "revoked"})
"""Goodbyes after which we do not come back by ourselves."""


@dataclass(frozen=True)
class LinkSettings:
    """What does not change while the daemon runs."""

    endpoint: RelayEndpoint
    key: asyncssh.SSHKey
    join_token: str | None = None
    transport: Literal["auto", "tcp", "websocket"] = "auto"


@dataclass(frozen=True)
class Wish:
    """The names to be reached by."""

    routes: tuple[Route, ...] = ()
    e2e_only: bool = False


@dataclass
class LinkHooks:
    """Whom the link tells; each returns at once."""

    accept: Callable[[socket.socket, StreamOrigin], None]
    """A client's stream is here; the socket is the callee's now."""
    changed: Callable[[], None]
    """The model is another one."""
    record: Callable[[str, str, Level], None]
    """Event name, sentence, level: for the event log."""
    shown: Callable[[Shown], Screening | None] = field(default=lambda _: "in")
    """A client of the plain way shows a key: whether it may authenticate. None: no answer."""
    published: Callable[[], None] = field(default=lambda: None)
    """The relay has answered the newest wish, or taken a name away."""


class RelayLink:
    """The link of one daemon to one relay."""

    def __init__(
        self, settings: LinkSettings, hooks: LinkHooks, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        endpoint = settings.endpoint
        self.status = LinkStatus(endpoint.shown, embedded=endpoint.embedded, clock=clock)
        self._hooks = hooks
        self._instance = secrets.token_hex(8)
        self._wish = Wish()
        self._revision = 0
        self._answered = asyncio.Condition()
        self._answered_revision = 0
        self._channel: ControlChannel | None = None
        self._backoff = Backoff()
        self._again = asyncio.Event()
        self._dials = 0
        self._tasks: asyncio.TaskGroup | None = None

    def model(self) -> RelayView:
        """What the host API shows."""
        return self.status.model()

    @property
    def settled(self) -> bool:
        """Whether the relay serves exactly what was wished last."""
        return self.status.status == "up" and self._answered_revision == self._revision

    def publish(self, wish: Wish) -> None:
        """Be reached by these names from now on; sent at once when the channel is open."""
        if wish == self._wish and self._revision:
            return
        self._wish = wish
        self._revision += 1
        if self._channel is not None:
            self._channel.publish(self._message())

    async def wait_settled(self, seconds: float) -> bool:
        """Wait until the relay serves the newest wish; False when it does not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._answered:
                await self._answered.wait_for(lambda: self.settled)
        return self.settled

    def reconnect(self) -> None:
        """Connect now: end a wait, come back after a goodbye, replace a channel that is open; names
        that were taken away may be asked for again."""
        self.status.lost.clear()
        self._backoff.reset()
        self._again.set()

    async def client(self) -> RelayClient:
        """A logged-in client of the relay's HTTP API, to be closed by the caller."""
        client = RelayClient(self.settings.endpoint, await tls_context(self.settings.endpoint))
        try:
            await client.login(self.settings.key, self.settings.join_token)
        except BaseException:
            await client.close()
            raise
        return client

    async def run(self) -> None:
        """Connect, and connect again after every loss, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                self._again.clear()
                wait = await self._attempt()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._again.wait()

    async def _attempt(self) -> float | None:
        """One connection; returns how long to wait before the next, None for until asked."""
        try:
            await self._until_asked_again()
        except GoodbyeError as error:
            return self._after_goodbye(error.goodbye)
        except RelayRefusedError as error:
            return self._retry(str(error), _asked_wait(error.retry_after))
        except (NotARelayError, ProtocolError) as error:
            return self._retry(str(error), _asked_wait(None))
        except UptuiError as error:
            return self._retry(str(error), None)
        except Exception as error:  # noqa: BLE001 - whatever a relay does, the share goes on
            report_unforeseen("the link to the relay", error)
            text = f"something unforeseen ({type(error).__name__}); the daemon's log has more"
            return self._retry(text, None)
        self.status.now("retry", "asked to connect again")
        return 0.0

    async def _until_asked_again(self) -> None:
        attempt = asyncio.ensure_future(self.try_once())
        asked = asyncio.ensure_future(self._again.wait())
        try:
            await asyncio.wait({attempt, asked}, return_when=asyncio.FIRST_COMPLETED)
            if attempt.done():
                attempt.result()
        finally:
            for task in (attempt, asked):
                task.cancel()
            await asyncio.gather(attempt, asked, return_exceptions=True)

    def _retry(self, reason: str, wait: float | None) -> float:
        lasted = time.time() - self.status.since if self.status.status == "up" else 0.0
        if wait is None:
            wait = self._backoff.failed(random.random(), lasted=lasted)  # noqa: S311 - jitter
        if self.status.reason != reason or self.status.status != "retry":
            self._hooks.record("relay.lost", f"{reason}; trying again", "warning")
        self.status.now("retry", reason, retry_in=wait)
        self._hooks.changed()
        return wait

    def _after_goodbye(self, goodbye: Goodbye) -> float | None:
        if goodbye.reason == "superseded":
            reason = "another uptui daemon with the same identity took over"
        else:
            reason = f"the relay said goodbye ({goodbye.reason}): {goodbye.message}"
        if goodbye.retry_after is not None:
            return self._retry(reason, _asked_wait(goodbye.retry_after))
        if goodbye.reason not in ALONE_REASONS:
            return self._retry(reason, _asked_wait(None))
        self._hooks.record("relay.goodbye", reason, "error")
        self.status.now("superseded" if goodbye.reason == "superseded" else "down", reason)
        self._hooks.changed()
        return None

    async def try_once(self) -> None:
        """Log in, open the channel, serve it until it ends. Raises RelayError, GoodbyeError."""
        endpoint = self.settings.endpoint
        self._warn(await plain_http(endpoint))
        context = await tls_context(endpoint)
        async with RelayClient(endpoint, context) as client:
            await client.info()
            credential = await client.login(self.settings.key, self.settings.join_token)
        await self._serve(endpoint, context, credential.access_token)

    def _warn(self, text: str) -> None:
        if text and text != self.status.warning:
            self._hooks.record("relay.insecure", text, "warning")
        self.status.warning = text

    async def _serve(
        self, endpoint: RelayEndpoint, context: ssl.SSLContext | None, bearer: str
    ) -> None:
        way = Way(endpoint, context)
        websocket = await open_channel(way, bearer)
        try:

            def dialled(dial: Dial) -> None:
                self._dialled(way, channel, dial)

            channel = ControlChannel(
                websocket,
                dialled=dialled,
                shown=self._hooks.shown,
                published=self._published,
                withdrawn=self._withdrawn,
                round_trip=self._round_trip,
            )
            welcome = await channel.welcome()
            way = Way(endpoint, context, welcome, _nearness(endpoint, websocket))
            self.status.welcome = welcome
            self.status.choice = await choose(way, self.settings.transport)
            self._channel = channel
            channel.publish(self._message())
            await channel.run(welcome.ping_interval)
        finally:
            self._channel = None
            await websocket.close()

    def _message(self) -> Publish:
        return Publish(
            revision=self._revision,
            instance=self._instance,
            routes=list(self._wish.routes),
            host_keys=[public_line(self.settings.key)],
            e2e_only=self._wish.e2e_only,
            software=USER_AGENT,
        )

    def _published(self, outcome: Published) -> None:
        if outcome.revision != self._revision:
            return
        told_before = self.status.refused
        self.status.published(outcome)
        if self.status.status != "up":
            self.status.now("up")
            self._hooks.record("relay.up", f"reachable through {self.status.url}", "info")
        if outcome.took_over:
            text = f"took over from another daemon of this identity at {outcome.took_over}"
            self._hooks.record("relay.took_over", text, "notice")
        for refusal in (one for one in outcome.refused if one not in told_before):
            self._hooks.record(
                "relay.refused", f"{masked(refusal.name)}: {told(refusal)}", "warning"
            )
        self._answered_revision = outcome.revision
        self._hooks.published()
        self._hooks.changed()
        self._spawn(self._announce())
        if any(refusal.code == "unavailable" for refusal in outcome.refused):
            self._spawn(self._publish_again(self._channel, outcome.revision))

    async def _publish_again(self, channel: ControlChannel | None, revision: int) -> None:
        """What the relay could not keep for the moment is wished for again after a while."""
        await asyncio.sleep(UNAVAILABLE_WAIT)
        if channel is not None and channel is self._channel and revision == self._revision:
            channel.publish(self._message())

    def _withdrawn(self, lost: Withdrawn) -> None:
        wished = any(route.name == lost.name for route in self._wish.routes)
        if not wished or lost.name in self.status.lost:
            return
        self.status.withdrawn(lost)
        text = f"{masked(lost.name)} is not ours any more: {lost.message}"
        self._hooks.record("relay.withdrawn", text, "warning")
        self._hooks.published()
        self._hooks.changed()

    async def _announce(self) -> None:
        async with self._answered:
            self._answered.notify_all()

    def _round_trip(self, seconds: float) -> None:
        self.status.round_trip(seconds)
        self._hooks.changed()

    def _dialled(self, way: Way, channel: ControlChannel, dial: Dial) -> None:
        if self._dials >= MAX_DIALS:
            channel.dial_failed(dial, "the host opens too many streams already")
            return
        self._dials += 1
        self._spawn(self._answer(way, channel, dial))

    async def _answer(self, way: Way, channel: ControlChannel, dial: Dial) -> None:
        """Open the stream of one client, hand it over, and carry it where it needs carrying."""
        try:
            sock, pump = await self._opened(way, dial)
        except RelayUnreachableError as error:
            channel.dial_failed(dial, str(error))
            self._hooks.record("relay.stream_failed", f"{dial.client_host}: {error}", "warning")
            return
        finally:
            self._dials -= 1
        origin = StreamOrigin(
            way=dial.way,
            route=dial.name,
            client_host=dial.client_host,
            client_port=dial.client_port,
            verified_key=dial.verified_key,
            user=dial.user,
            client_version=dial.client_version,
        )
        self._hooks.accept(sock, origin)
        if pump is not None:
            await pump()

    async def _opened(self, way: Way, dial: Dial) -> tuple[socket.socket, Pump | None]:
        """A raw stream that fails is tried as a WebSocket, and so are the next ones."""
        choice = self.status.choice or TransportChoice("websocket", "not chosen yet")
        try:
            return await open_stream(way, choice, dial.stream_id)
        except RelayUnreachableError as error:
            if choice.transport == "websocket" or self.settings.transport == "tcp":
                raise
            self.status.choice = TransportChoice("websocket", str(error))
            return await open_stream(way, self.status.choice, dial.stream_id)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(_supervised(work))


async def _supervised(work: Coroutine[None, None, None]) -> None:
    """One client's stream that fails in a way nobody foresaw is that client's loss only."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - see above
        report_unforeseen("a stream of the relay", error)


def _asked_wait(seconds: float | None) -> float:
    """How long we stay away when told to; the jitter keeps hosts from returning all at once."""
    wanted = REFUSED_WAIT if seconds is None else border.wait(seconds)
    return wanted * (1 + random.random() / 2)  # noqa: S311


def _nearness(endpoint: RelayEndpoint, websocket: ClientConnection) -> Nearness:
    """How far away the relay is that has answered here."""
    if endpoint.proxy is not None:
        return nearness(endpoint.host) or "public"
    peer = websocket.remote_address
    return nearness(str(peer[0])) or "public" if peer else "public"
