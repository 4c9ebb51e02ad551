"""Hand listening sockets from a running relay to its successor, so that a restart refuses nobody.

A relay started with `--takeover` asks the one that has the same state directory, over a Unix
socket there, for everything it listens on. The sockets are the same ones, so connections that wait
in them are lost by neither. The older relay drains once the newer one serves.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from uptui.errors import StateError
from uptui.protocol.names import RouteName
from uptui.relay import logs
from uptui.relay.ingress.listeners import EXHAUSTED_PAUSE, peer_address
from uptui.relay.settings import SocketAddress

SOCKET: Final = "takeover.sock"
HELLO: Final = b"uptui-takeover-1"
READY: Final = b"ready"
BATCH: Final = 100
"""Sockets in one message; the kernel takes 253."""
MAX_MESSAGE: Final = 128 * 1024
PATIENCE: Final = 30.0
"""Seconds for each step of the other side."""

log = logs.logger("uptui.relay.ingress.socket_handover")


@dataclass
class HandedSockets:
    """What a relay leaves to its successor."""

    listeners: list[socket.socket] = field(default_factory=list[socket.socket])
    names: list[RouteName] = field(default_factory=list[RouteName])
    """Routes whose hosts will come back."""

    def take(self, address: SocketAddress) -> socket.socket | None:
        """The listener of this address, which is the caller's from now on."""
        everywhere = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        for sock in self.listeners:
            where = peer_address(sock.getsockname())
            same = where.host == address.host or {where.host, address.host} <= everywhere
            if same and where.port == address.port:
                self.listeners.remove(sock)
                return sock
        return None

    def close(self) -> None:
        """Give up what nobody has taken."""
        for sock in self.listeners:
            sock.close()
        self.listeners.clear()


class Claim:
    """A successor's side: listening sockets received and not confirmed yet."""

    def __init__(self, connection: socket.socket, handed: HandedSockets) -> None:
        self._connection = connection
        self.handed = handed

    def confirm(self) -> None:
        """We serve: the older relay may drain."""
        with contextlib.closing(self._connection), contextlib.suppress(OSError):
            self._connection.send(READY)

    def abandon(self) -> None:
        """We do not: the older relay goes on."""
        self._connection.close()
        self.handed.close()


async def claim(state_dir: Path) -> Claim | None:
    """What the relay with this state directory leaves to us; None when none runs.

    Raises StateError when it does not answer.
    """
    return await asyncio.to_thread(_claim, state_dir)


def _claim(state_dir: Path) -> Claim | None:
    path = state_dir / SOCKET
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(PATIENCE)
    try:
        _at(path, connection.connect)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise StateError(path, f"cannot ask the running relay: {error.strerror}") from error
    handed = HandedSockets()
    try:
        connection.send(HELLO)
        while _receive(connection, handed):
            pass
    except (OSError, ValueError, KeyError) as error:
        connection.close()
        handed.close()
        raise StateError(path, f"the running relay does not hand over: {error}") from error
    return Claim(connection, handed)


def _receive(connection: socket.socket, handed: HandedSockets) -> bool:
    """Take one message; False after the last."""
    data, descriptors, flags, _ = socket.recv_fds(connection, MAX_MESSAGE, BATCH)
    for descriptor in descriptors:
        sock = socket.socket(fileno=descriptor)
        os.set_inheritable(descriptor, False)
        sock.setblocking(False)
        handed.listeners.append(sock)
    if not data or flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        raise ValueError("the message is incomplete")
    message = json.loads(data)
    handed.names += [RouteName(str(name)) for name in message["names"]]
    return bool(message["more"])


class SocketHandover:
    """The older relay's side: waits for a successor."""

    def __init__(
        self,
        state_dir: Path,
        prepare: Callable[[], Awaitable[HandedSockets]],
        finish: Callable[[bool], None],
    ) -> None:
        """`prepare` stops accepting and tells what to hand over; its sockets stay the caller's.
        `finish` is told whether the successor has taken it."""
        self._path = state_dir / SOCKET
        self._prepare = prepare
        self._finish = finish
        self._sock: socket.socket | None = None

    def listen(self) -> None:
        """Listen. Raises StateError naming the socket's path."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            _at(self._path, sock.bind)
            sock.listen(1)
        except OSError as error:
            sock.close()
            raise StateError(self._path, f"cannot listen here: {error}") from error
        finally:
            os.umask(before)
        sock.setblocking(False)
        self._sock = sock

    def close(self) -> None:
        """Listen no more; the path may be a successor's already."""
        if self._sock is not None:
            self._sock.close()

    async def run(self) -> None:
        """Wait for a successor on what `listen` made, and return once one has taken it all."""
        assert self._sock is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._sock)
            except OSError as error:
                log.warning("takeover_failed", problem=str(error))
                await asyncio.sleep(EXHAUSTED_PAUSE)
                continue
            with contextlib.closing(connection):
                if _ours(connection) and await self._hand_over(connection):
                    return

    async def _hand_over(self, connection: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        taken = False
        try:
            async with asyncio.timeout(PATIENCE):
                if await loop.sock_recv(connection, len(HELLO) + 1) != HELLO:
                    return False
            handed = await self._prepare()
            try:
                taken = await asyncio.to_thread(_send, connection, handed)
            finally:
                self._finish(taken)
        except (OSError, TimeoutError) as error:
            log.warning("takeover_failed", problem=str(error))
        return taken


def _send(connection: socket.socket, handed: HandedSockets) -> bool:
    """Send all of it; True once the successor serves."""
    connection.settimeout(PATIENCE)
    batches = range(0, max(len(handed.listeners), len(handed.names), 1), BATCH)
    for start in batches:
        message = {
            "names": handed.names[start : start + BATCH],
            "more": start + BATCH < batches.stop,
        }
        descriptors = [sock.fileno() for sock in handed.listeners[start : start + BATCH]]
        socket.send_fds(connection, [json.dumps(message).encode()], descriptors)
    return connection.recv(len(READY) + 1) == READY


def _ours(connection: socket.socket) -> bool:
    """Whether the other side runs under our own user."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("iII", raw)
    return int(user) == os.getuid()


def _at(path: Path, use: Callable[[str], None]) -> None:
    """Call `use` with a name of `path` that fits into a socket address, however deep it lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        use(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
