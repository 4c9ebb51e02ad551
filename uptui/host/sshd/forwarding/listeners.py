"""Listening sockets whose connections go to an SSH client, in the shape that asyncssh keeps."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import cast

import asyncssh

from uptui.host.sshd.forwarding.bridge import Bridge, SocketSide

BridgeFor = Callable[[tuple[str, int]], Bridge | None]
"""The bridge for a connection from this peer, or None to drop it."""


class ForwardListener(asyncssh.SSHListener):
    """One listening port or Unix socket of a client; closed on cancel and at the end."""

    def __init__(
        self,
        name: str,
        port: int,
        closed: "Callable[[ForwardListener], None]",
        *,
        remove: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self._port = port
        self._closed = closed
        self._remove = remove
        self._servers: list[asyncio.Server] = []

    async def serve(self, sockets: Sequence[socket.socket], bridge_for: BridgeFor) -> None:
        """Accept on each of these bound sockets."""
        loop = asyncio.get_running_loop()

        def accept() -> _Accepting:
            return _Accepting(bridge_for)

        for sock in sockets:
            if sock.family == socket.AF_UNIX:
                server = await loop.create_unix_server(accept, sock=sock)
            else:
                server = await loop.create_server(accept, sock=sock)
            self._servers.append(server)

    def get_port(self) -> int:
        return self._port

    def close(self) -> None:
        if not self._servers:
            return
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._remove is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._remove)  # noqa: PTH108
        self._closed(self)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for once `close` has returned."""


class _Accepting(asyncio.BufferedProtocol):
    """Finds the bridge of a fresh connection, then leaves the transport to it."""

    def __init__(self, bridge_for: BridgeFor) -> None:
        self._bridge_for = bridge_for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        bridge = self._bridge_for(_peer(transport))
        if bridge is None:
            transport.abort()
            return
        side: SocketSide = bridge.protocol()
        transport.set_protocol(side)
        side.connection_made(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(max(sizehint, 1))

    def buffer_updated(self, nbytes: int) -> None:
        """Nothing arrives before the bridge has taken over."""


def _peer(transport: asyncio.Transport) -> tuple[str, int]:
    peer = cast("tuple[str, int] | str | None", transport.get_extra_info("peername"))
    return peer[:2] if isinstance(peer, tuple) else ("", 0)
