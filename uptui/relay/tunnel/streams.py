"""Where hosts dial back: raw `UPTUI-STREAM/1` connections and WebSockets at /v1/streams/{id}."""

import asyncio
import contextlib
from collections import deque
from typing import Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from uptui.errors import ProtocolError
from uptui.protocol.names import StreamId
from uptui.protocol.stream import PREAMBLE_TIMEOUT, PROBE, PROBE_ANSWER, parse_preamble
from uptui.relay.api.problems import deny
from uptui.relay.api.rate_limit import TOO_OFTEN, Failures
from uptui.relay.ingress.first_bytes import FirstBytes
from uptui.relay.tunnel.broker import Broker, HostStream
from uptui.relay.tunnel.pipe import PipeEnd

MAX_FRAME: Final = 1024 * 1024
"""Largest binary frame taken from a host."""
HIGH_WATER: Final = 1024 * 1024
LOW_WATER: Final = 256 * 1024
FRAME: Final = 256 * 1024
"""Largest binary frame sent to a host."""

log = structlog.get_logger()


class DialBack(FirstBytes):
    """Reads the first line of a raw stream, then gives the connection to its splice."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(PREAMBLE_TIMEOUT)
        self._broker = broker

    def read(self, transport: asyncio.Transport, opening: bytes) -> None:
        """Answer a probe, or join the stream that the line names."""
        try:
            parsed = parse_preamble(opening)
        except ProtocolError as error:
            log.info("relay.stream_refused", reason=str(error))
            transport.abort()
            return
        if parsed is not None and parsed[0] == PROBE:
            self.complete()
            transport.write(PROBE_ANSWER)
            transport.close()
        elif parsed is not None:
            self._hand_over(transport, *parsed)

    def _hand_over(self, transport: asyncio.Transport, stream_id: StreamId, rest: bytes) -> None:
        self.complete()
        end = PipeEnd(self._broker.limits.linger)
        end.connection_made(transport)
        transport.set_protocol(end)
        if not self._broker.arrived(stream_id, HostStream(end, rest)):
            log.info("relay.stream_refused", reason="unknown, spent or expired stream id")
            transport.abort()


class WebSocketWire:
    """The reading and writing half of a transport, on a WebSocket.

    Bytes travel in binary frames; an empty one ends its direction, as write_eof does.
    """

    def __init__(self, websocket: WebSocket, end: PipeEnd) -> None:
        self._websocket = websocket
        self._end = end
        self._chunks: deque[bytes | None] = deque()
        self._buffered = 0
        self._paused = False
        self._closing = False
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._aborted = asyncio.Event()

    def write(self, data: bytes, /) -> None:
        if self._closing or not data:
            return
        self._put(data)
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._end.pause_writing()

    def write_eof(self) -> None:
        if not self._closing:
            self._put(b"")

    def pause_reading(self) -> None:
        self._readable.clear()

    def resume_reading(self) -> None:
        self._readable.set()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._put(None)

    def abort(self) -> None:
        self._aborted.set()

    async def run(self) -> None:
        """Carry frames until either side ends; returns with the pipe end lost."""
        tasks = [
            asyncio.create_task(work)
            for work in (self._write_frames(), self._read_frames(), self._wait_aborted())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._end.connection_lost(None)

    def _put(self, chunk: bytes | None) -> None:
        self._chunks.append(chunk)
        self._buffered += len(chunk or b"")
        self._wake.set()

    async def _write_frames(self) -> None:
        while True:
            while not self._chunks:
                self._wake.clear()
                await self._wake.wait()
            chunk = self._chunks.popleft()
            if chunk is None:
                return
            for start in range(0, len(chunk) or 1, FRAME):
                await self._websocket.send_bytes(chunk[start : start + FRAME])
            self._buffered -= len(chunk)
            if self._paused and self._buffered <= LOW_WATER:
                self._paused = False
                self._end.resume_writing()

    async def _read_frames(self) -> None:
        while True:
            await self._readable.wait()
            data = await self._websocket.receive_bytes()
            if data:
                self._end.data_received(data)
            else:
                self._end.eof_received()

    async def _wait_aborted(self) -> None:
        await self._aborted.wait()


async def serve_websocket(websocket: WebSocket, broker: Broker, failures: Failures) -> None:
    """The endpoint of `/v1/streams/{stream_id}`."""
    stream_id = StreamId(str(websocket.path_params["stream_id"]))
    address = websocket.client.host if websocket.client else None
    if failures.barred(address):
        await deny(websocket, 429, "rate_limited", TOO_OFTEN)
        return
    if not broker.expects(stream_id):
        failures.failed(address)
        problem = "no client waits for this stream id: unknown, spent or expired"
        await deny(websocket, 404, "unknown_stream", problem)
        return
    await websocket.accept()
    end = PipeEnd(broker.limits.linger)
    wire = WebSocketWire(websocket, end)
    end.attach(wire)
    if broker.arrived(stream_id, HostStream(end)):
        with contextlib.suppress(WebSocketDisconnect):
            await wire.run()
    with contextlib.suppress(Exception):
        await websocket.close()
