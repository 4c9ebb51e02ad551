"""A small host for tests of the relay: control exchange, dial-back, and an asyncssh server."""

import asyncio
import contextlib
import hashlib
import secrets
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

import asyncssh
import httpx
import websockets
from websockets.asyncio.client import ClientConnection, connect

from uptui.protocol import control, stream
from uptui.protocol.login import Origin, Statement
from uptui.protocol.names import RouteKind, RouteName, Screening, StreamId
from uptui.protocol.relay_api import NAMESPACE
from uptui.protocol.sshsig import sign
from uptui.relay.settings import SocketAddress

DEADLINE = 40.0
Serve = Callable[[control.Dial, socket.socket], Coroutine[None, None, None]]
Message = TypeVar("Message", bound=control.FromRelay)


def new_key() -> asyncssh.SSHKey:
    """A fresh ed25519 key."""
    return asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]


async def eventually(true: Callable[[], bool], what: str) -> None:
    """Poll until `true()`."""
    for _ in range(int(DEADLINE / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


async def login(
    relay: SocketAddress,
    key: asyncssh.SSHKey,
    trust: ssl.SSLContext | None = None,
    join_token: str | None = None,
) -> str:
    """A bearer token for `key`."""
    url = f"http{'s' if trust else ''}://{relay}"
    async with httpx.AsyncClient(base_url=url, verify=trust or False, trust_env=False) as client:
        answer = await client.post("/v1/challenges", json={"identity": public_line(key)})
        challenge = answer.raise_for_status().json()
        tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
        seen = hashlib.sha256(tls.getpeercert(binary_form=True)).digest() if tls else b""
        said = Statement(challenge["nonce"], Origin.parse(url), seen)
        wish = {**proof(key, said), "join_token": join_token}
        answer = await client.post("/v1/credentials", json=wish)
        return str(answer.raise_for_status().json()["access_token"])


def public_line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def proof(key: asyncssh.SSHKey, said: Statement) -> dict[str, str]:
    """The body of POST /v1/credentials by which `key` says this."""
    signature = sign(
        NAMESPACE, said.signed(), key.public_data, lambda data: key.sign(data, b"ssh-ed25519")
    )
    return {
        "identity": public_line(key),
        "nonce": said.nonce,
        "origin": str(said.origin),
        "certificate": said.certificate.hex(),
        "signature": signature,
    }


def route(name: RouteName, kind: RouteKind = "token", *, port: bool = True) -> control.Route:
    return control.Route(name=name, kind=kind, port=port)


async def echo(_: control.Dial, sock: socket.socket) -> None:
    """The default service: says hello, echoes, and says bye when the client has finished."""
    reader, writer = await asyncio.open_connection(sock=sock)
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        writer.write(b"hello\n")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye\n")


async def open_stream(relay: SocketAddress, stream_id: StreamId) -> socket.socket:
    """A raw stream with its preamble sent."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, tuple(relay))
    await loop.sock_sendall(sock, stream.preamble(stream_id))
    return sock


async def carry(relay: SocketAddress, stream_id: StreamId, near: socket.socket) -> None:
    """Carry the bytes of `near` over a WebSocket stream, half-close included."""
    reader, writer = await asyncio.open_connection(sock=near)
    url = f"ws://{relay}{stream.WEBSOCKET_PATH.format(stream_id=stream_id)}"
    async with connect(url, ping_interval=None, proxy=None, max_size=None) as wire:

        async def upstream() -> None:
            while data := await reader.read(65536):
                await wire.send(data)
            await wire.send(b"")

        sending = asyncio.ensure_future(upstream())
        try:
            async for frame in wire:
                assert isinstance(frame, bytes)
                if not frame:
                    writer.write_eof()
                    continue
                writer.write(frame)
                await writer.drain()
        except (websockets.ConnectionClosed, ConnectionError):
            pass
        finally:
            sending.cancel()
            writer.close()


@dataclass
class StandIn:
    """One daemon. Use as an async context manager."""

    relay: SocketAddress
    key: asyncssh.SSHKey = field(default_factory=new_key)
    serve: Serve = echo
    instance: str = field(default_factory=lambda: secrets.token_hex(8))
    e2e_only: bool = False
    answer_dials: bool = True
    hears: Callable[[control.Dial], bool] = lambda _: True
    """Which dials it answers."""
    screening: Screening | None = "in"
    """What it says about every key; None: nothing at all."""
    over_websocket: bool = False
    trust: ssl.SSLContext | None = None
    """Set where the control channel goes by TLS."""
    join_token: str | None = None

    def __post_init__(self) -> None:
        self.dials: list[control.Dial] = []
        self.shown: list[control.Shown] = []
        self.received: asyncio.Queue[control.FromRelay] = asyncio.Queue()
        self.goodbye: control.Goodbye | None = None
        self.closed = asyncio.Event()
        self._revision = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    async def connect(self) -> control.Welcome:
        """Log in and open the control channel."""
        bearer = await login(self.relay, self.key, self.trust, self.join_token)
        self._socket = await connect(
            f"ws{'s' if self.trust else ''}://{self.relay}{control.PATH}",
            ssl=self.trust,
            additional_headers={"Authorization": f"Bearer {bearer}"},
            ping_interval=None,
            proxy=None,
        )
        self._spawn(self._read(self._socket))
        welcome = await self.expect(control.Welcome)
        self.welcome = welcome
        return welcome

    async def vanish(self) -> None:
        """End everything at once."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def send(self, message: control.FromHost) -> None:
        assert self._socket is not None
        await self._socket.send(control.encode(message))

    async def send_raw(self, text: str) -> None:
        assert self._socket is not None
        await self._socket.send(text)

    async def publish(
        self, *routes: control.Route, host_keys: Sequence[str] = ()
    ) -> control.Published:
        """Wish for exactly these routes, with our identity as host key unless others are given, and
        wait for the outcome."""
        own = self.key.export_public_key().decode().strip()
        self._revision += 1
        await self.send(
            control.Publish(
                revision=self._revision,
                instance=self.instance,
                routes=list(routes),
                host_keys=list(host_keys) or [own],
                e2e_only=self.e2e_only,
            )
        )
        published = await self.expect(control.Published)
        assert published.revision == self._revision
        return published

    async def port_of(self, name: RouteName, kind: RouteKind = "token") -> int:
        """Publish one name and return its direct port."""
        published = await self.publish(route(name, kind))
        assert not published.refused, published.refused
        port = published.granted[0].port
        assert port is not None
        return port

    async def expect(self, kind: type[Message]) -> Message:
        async with asyncio.timeout(DEADLINE):
            message = await self.received.get()
        assert isinstance(message, kind), message
        return message

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                message = control.decode_from_relay(frame)
                if isinstance(message, control.Dial):
                    self.dials.append(message)
                    if self.answer_dials and self.hears(message):
                        self._spawn(self._dial_back(message))
                elif isinstance(message, control.Shown):
                    self.shown.append(message)
                    if self.screening is not None and not message.left:
                        said = control.Screened(n=message.n, screening=self.screening)
                        await self.send(said)
                elif isinstance(message, control.Goodbye):
                    self.goodbye = message
                else:
                    self.received.put_nowait(message)
        except websockets.ConnectionClosed:
            pass
        finally:
            self.closed.set()

    async def _dial_back(self, dial: control.Dial) -> None:
        if self.over_websocket:
            near, far = socket.socketpair()
            near.setblocking(False)
            far.setblocking(False)
            self._spawn(carry(self.relay, dial.stream_id, far))
            await self.serve(dial, near)
        else:
            await self.serve(dial, await open_stream(self.relay, dial.stream_id))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
