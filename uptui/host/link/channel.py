"""One control channel from its opening to its end: publishes, answers dials, measures."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Response

from uptui.errors import NotARelayError, RelayRefusedError, RelayUnreachableError
from uptui.host.link.relay_client import USER_AGENT
from uptui.host.link.streams import Way
from uptui.protocol import control
from uptui.protocol.control import Dial, Goodbye, Ping, Pong, Publish, Published, Welcome

OPEN_TIMEOUT: Final = 10.0
MISSED_PINGS: Final = 2
"""Answers that may be missing before the channel counts as dead."""


SECOND_PING: Final = 2.0
"""Seconds after which the second is sent: what else starts with the channel delays the first."""
MAX_OUTGOING: Final = 256
"""Messages that wait for a relay that does not read."""


class _Problem(msgspec.Struct):
    detail: str = ""


class GoodbyeError(Exception):
    """The relay ended the channel with a last word."""

    def __init__(self, goodbye: Goodbye) -> None:
        super().__init__(goodbye.message)
        self.goodbye = goodbye


async def open_channel(way: Way, bearer: str) -> ClientConnection:
    """The WebSocket, authenticated. Raises RelayUnreachableError, RelayRefusedError."""
    where = way.endpoint.shown
    try:
        return await websocket_connect(
            way.endpoint.websocket_url + control.PATH,
            ssl=way.context,
            proxy=way.endpoint.proxy,
            additional_headers={"Authorization": f"Bearer {bearer}"},
            user_agent_header=USER_AGENT,
            compression=None,
            max_size=control.MAX_MESSAGE_BYTES,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=2,
        )
    except InvalidStatus as error:
        raise _refusal(where, error.response) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise RelayUnreachableError(f"{where}: control channel: {error or 'timed out'}") from error


def _refusal(where: str, response: Response) -> RelayRefusedError | RelayUnreachableError:
    """What an HTTP answer instead of a WebSocket means."""
    retry = response.headers.get("Retry-After", "")
    wait = float(retry) if retry.isdigit() else None
    try:
        problem = msgspec.json.decode(response.body or b"", type=_Problem)
    except (msgspec.DecodeError, UnicodeError):
        problem = _Problem()
    says = f"the relay says: {problem.detail}" if problem.detail else f"HTTP {response.status_code}"
    text = f"{where}: control channel: {says}"
    if response.status_code in {401, 403}:
        return RelayRefusedError("unauthorized", text, retry_after=wait)
    if wait is not None:
        return RelayRefusedError("busy", text, retry_after=wait)
    return RelayUnreachableError(text)


class Channel:
    """Speaks the control protocol on one WebSocket; the callbacks must return at once."""

    def __init__(
        self,
        websocket: ClientConnection,
        *,
        dialled: Callable[[Dial], None],
        published: Callable[[Published], None],
        round_trip: Callable[[float], None],
    ) -> None:
        self._websocket = websocket
        self._dialled = dialled
        self._published = published
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

    async def _read(self) -> None:
        async for frame in self._websocket:
            match control.decode_from_relay(frame):
                case Dial() as dial:
                    self._dialled(dial)
                case Published() as outcome:
                    self._published(outcome)
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
        return f"the relay closed the control channel: {error.rcvd.reason}"
    return "the connection to the relay was lost"
