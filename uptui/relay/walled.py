"""Where clients come in that reach nothing but the HTTP port: WebSockets and HTTP CONNECT.

Both name the route and join it as a jump does, so that the user name is free, and the bytes are the
client's SSH and stay end to end. It knows neither TLS nor proxies, and asks for no further proof.
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from uptui.errors import RefusedError
from uptui.relay.admission import Admission
from uptui.relay.api.problems import deny
from uptui.relay.opening import Opening
from uptui.relay.settings import Address
from uptui.relay.sockets import peer_address
from uptui.relay.splice import Leg
from uptui.relay.streams import WebSocketWire
from uptui.relay.switchboard import Caller, HostStream, Switchboard

MAX_HEAD: Final = 8 * 1024
"""Bytes of a CONNECT request."""
HEAD_TIMEOUT: Final = 10.0
BUSY: Final = "too many connections from your address; try again"
_CONNECT = re.compile(rb"CONNECT ([a-z0-9-]{1,63}):([0-9]{1,5}) HTTP/1\.[01]\r?\n", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True)
class Walled:
    """Brings such clients to their hosts."""

    switchboard: Switchboard
    admission: Admission

    async def serve(self, websocket: WebSocket) -> None:
        """The endpoint of `/v1/connect/{name}`; opened only once the host's stream is there."""
        name = str(websocket.path_params["name"])
        client = websocket.client
        peer = Address(client.host, client.port) if client else Address("", 0)
        if not self.admission.enter(peer.host):
            await deny(websocket, 503, "busy", BUSY)
            return
        try:
            await self._join(websocket, name, peer)
        finally:
            self.admission.leave(peer.host)

    async def _join(self, websocket: WebSocket, name: str, peer: Address) -> None:
        try:
            stream = await self.switchboard.call(name, "jump", Caller(peer))
        except RefusedError as error:
            await deny(websocket, 404, "not_found", str(error))
            return
        leg = Leg(self.switchboard.limits.linger)
        try:
            await websocket.accept()
        except BaseException:
            stream.leg.abort()
            raise
        wire = WebSocketWire(websocket, leg)
        leg.attach(wire)
        joint = self.switchboard.joint(name, "jump", stream, lambda: None)
        self.switchboard.splices.join(leg, stream.leg, joint, stream.early)
        with contextlib.suppress(WebSocketDisconnect):
            await wire.run()
        with contextlib.suppress(Exception):
            await websocket.close()

    def tunnel(self) -> asyncio.Protocol:
        """For one connection that begins with CONNECT."""
        return _Connect(self)


class _Connect(Opening):
    """Reads `CONNECT NAME:PORT`, whose port means nothing, then gives the connection to its leg."""

    def __init__(self, doors: Walled) -> None:
        super().__init__(HEAD_TIMEOUT)
        self._doors = doors

    def read(self, transport: asyncio.Transport, opening: bytes) -> None:
        """Serve the request once its head is whole."""
        end = _END.search(opening)
        if end is None:
            if len(opening) > MAX_HEAD:
                self._refuse(400, "Bad Request", f"a request has at most {MAX_HEAD} bytes")
            return
        self.complete()
        asked = _CONNECT.match(opening)
        if asked is None:
            self._refuse(400, "Bad Request", "expected CONNECT NAME:22, NAME being a session")
            return
        transport.pause_reading()
        name = asked[1].decode("ascii").lower()
        self._doors.admission.spawn(self._serve(transport, name, opening[end.end() :]))

    async def _serve(self, transport: asyncio.Transport, name: str, early: bytes) -> None:
        doors = self._doors
        peer = doors.admission.origin(peer_address(transport.get_extra_info("peername")))
        if not doors.admission.enter(peer.host):
            self._refuse(503, "Service Unavailable", BUSY)
            return
        try:
            stream = await doors.switchboard.call(name, "jump", Caller(peer))
        except RefusedError as error:
            doors.admission.leave(peer.host)
            self._refuse(404, "Not Found", str(error))
            return
        except BaseException:
            doors.admission.leave(peer.host)
            transport.abort()
            raise
        self._hand_over(name, stream, peer, early)

    def _hand_over(self, name: str, stream: HostStream, peer: Address, early: bytes) -> None:
        assert self._transport is not None
        board, admission = self._doors.switchboard, self._doors.admission
        self._transport.write(_ESTABLISHED)
        leg = Leg(board.limits.linger)
        leg.connection_made(self._transport)
        self._transport.set_protocol(leg)
        if self._transport.is_closing():
            leg.connection_lost(None)
        joint = board.joint(name, "jump", stream, lambda: admission.leave(peer.host))
        board.splices.join(leg, stream.leg, joint, stream.early)
        if early:
            leg.data_received(early)

    def _refuse(self, status: int, title: str, text: str) -> None:
        assert self._transport is not None
        self.complete()
        body = f"{text}\n".encode()
        head = (
            f"HTTP/1.1 {status} {title}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        self._transport.close()
