"""One control channel from its opening to its end: publishes, answers dials, measures."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from uptui.errors import NotARelayError, RelayRefusedError, RelayUnreachableError
from uptui.host.relay_link.streams import Way
from uptui.host.relay_link.websockets import open_websocket, problem_of
from uptui.protocol import border, control
from uptui.protocol.control import (
    Dial,
    Goodbye,
    Ping,
    Pong,
    Publish,
    Published,
    Shown,
    Welcome,
    Withdrawn,
)
from uptui.protocol.names import Screening
from uptui.text import clean

OPEN_TIMEOUT: Final = 10.0
MISSED_PINGS: Final = 2
"""Answers that may be missing before the channel counts as dead."""


SECOND_PING: Final = 2.0
"""Seconds after which the second is sent: what else starts with the channel delays the first."""
MAX_OUTGOING: Final = 256
"""Messages that wait for a relay that does not read."""
PING_INTERVALS: Final = (1.0, 60.0)
"""Seconds: the shortest and longest time between two pings that a relay can ask for."""


class GoodbyeError(Exception):
    """The relay ended the channel with a last word."""

    def __init__(self, goodbye: Goodbye) -> None:
        super().__init__(goodbye.message)
        self.goodbye = goodbye


async def open_channel(way: Way, bearer: str) -> ClientConnection:
    """The WebSocket, authenticated. Raises RelayUnreachableError, RelayRefusedError."""
    where = f"{way.endpoint.shown}: control channel"
    try:
        return await open_websocket(
            way.endpoint,
            way.context,
            control.PATH,
            max_size=control.MAX_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT,
            headers={"Authorization": f"Bearer {bearer}"},
        )
    except InvalidStatus as error:
        raise _refusal(where, error) from error
    except RelayUnreachableError as error:
        raise RelayUnreachableError(f"{where}: {error}") from error
    except NotARelayError as error:
        raise NotARelayError(f"{where}: {error}") from error


def _refusal(where: str, answer: InvalidStatus) -> RelayRefusedError | RelayUnreachableError:
    """What an HTTP answer instead of a WebSocket means."""
    status = answer.response.status_code
    wait = border.retry_after(answer.response.headers.get("Retry-After"))
    problem = problem_of(answer)
    says = f"the relay says: {problem.detail}" if problem else f"HTTP {status}"
    text = f"{where}: {says}"
    if status in {401, 403}:
        return RelayRefusedError("unauthorized", text, retry_after=wait)
    if wait is not None:
        return RelayRefusedError("busy", text, retry_after=wait)
    return RelayUnreachableError(text)


class ControlChannel:
    """Speaks the control protocol on one WebSocket; the callbacks must return at once."""

    def __init__(
        self,
        websocket: ClientConnection,
        *,
        dialled: Callable[[Dial], None],
        shown: Callable[[Shown], Screening | None],
        published: Callable[[Published], None],
        withdrawn: Callable[[Withdrawn], None],
        round_trip: Callable[[float], None],
    ) -> None:
        self._websocket = websocket
        self._dialled = dialled
        self._shown = shown
        self._published = published
        self._withdrawn = withdrawn
        self._round_trip = round_trip
        self._pings: dict[int, float] = {}
        self._outgoing: asyncio.Queue[control.FromHost] = asyncio.Queue(MAX_OUTGOING)

    async def welcome(self) -> Welcome:
        """The relay's first message. Raises NotARelayError when it is something else."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                message = control.decode_from_relay(await self._websocket.recv())
        except (ConnectionClosed, TimeoutError) as error:
            raise RelayUnreachableError("the relay opened a channel and said nothing") from error
        if isinstance(message, Goodbye):
            raise GoodbyeError(message)
        if not isinstance(message, Welcome) or message.version != control.VERSION:
            raise NotARelayError("the relay speaks another version of the protocol: update it")
        return message

    def publish(self, wish: Publish) -> None:
        """Queue the whole wish."""
        self._send(wish)

    def dial_failed(self, dial: Dial, reason: str) -> None:
        """Tell the relay that no stream will come."""
        self._send(control.DialFailed(stream_id=dial.stream_id, reason=reason[:200]))

    def _send(self, message: control.FromHost) -> None:
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            self._websocket.transport.abort()

    async def run(self, interval: float) -> None:
        """Until the channel ends. Raises GoodbyeError, RelayUnreachableError, ProtocolError."""
        shortest, longest = PING_INTERVALS
        interval = min(longest, max(shortest, interval))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                group.create_task(self._ping(interval))
                group.create_task(self._read())
        except BaseExceptionGroup as errors:
            first = errors.exceptions[0]
            if isinstance(first, ConnectionClosed):
                raise RelayUnreachableError(_loss(first)) from first
            raise first from None

    async def _write(self) -> None:
        while True:
            await self._websocket.send(control.encode(await self._outgoing.get()))

    async def _ping(self, interval: float) -> None:
        number = 0
        while True:
            if len(self._pings) >= MISSED_PINGS:
                waited = time.monotonic() - min(self._pings.values())
                raise RelayUnreachableError(f"the relay has not answered for {waited:.0f} s")
            number += 1
            self._pings[number] = time.monotonic()
            self._send(Ping(n=number))
            await asyncio.sleep(min(interval, SECOND_PING) if number == 1 else interval)

    def _screen(self, key: Shown) -> None:
        screening = self._shown(key)
        if screening is not None:
            self._send(control.Screened(n=key.n, screening=screening))

    async def _read(self) -> None:
        async for frame in self._websocket:
            match control.decode_from_relay(frame):
                case Dial() as dial:
                    self._dialled(dial)
                case Shown() as key:
                    self._screen(key)
                case Published() as outcome:
                    self._published(outcome)
                case Withdrawn() as lost:
                    self._withdrawn(lost)
                case Pong(n=number):
                    sent = self._pings.pop(number, None)
                    self._pings.clear()
                    if sent is not None:
                        self._round_trip(time.monotonic() - sent)
                case Goodbye() as goodbye:
                    raise GoodbyeError(goodbye)
                case Welcome():
                    pass
        raise RelayUnreachableError("the relay closed the control channel")


def _loss(error: ConnectionClosed) -> str:
    if error.rcvd is not None and error.rcvd.reason:
        return f"the relay closed the control channel: {clean(error.rcvd.reason)}"
    return "the connection to the relay was lost"
