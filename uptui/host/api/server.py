"""Binds the host API's Unix socket privately and serves an ASGI application on it."""

import asyncio
import functools
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from uptui.errors import StateError
from uptui.host.api.routes import problem
from uptui.net import peer_credentials
from uptui.runtime.private_files import check_safe, private_directory

Objection = Callable[[int], str]
"""Why the process with this id may not use the API, in words; empty when it may."""

SHUTDOWN_TIMEOUT: Final = 3
"""Seconds that open requests get when the daemon stops."""
BACKLOG: Final = 64


def bind(path: Path) -> socket.socket:
    """A Unix socket with mode 0600 at `path`, replacing one that a dead daemon left behind.

    The caller holds the lock of the state directory, so whatever is at `path` is stale.
    """
    check_safe(path.parent)
    private_directory(path.parent)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        found.bind(str(path))
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise StateError(path, f"the socket cannot be made: {error.strerror}") from error
    finally:
        os.umask(old)
    found.setblocking(False)
    return found


def _release(bound: socket.socket, path: Path) -> None:
    bound.close()
    path.unlink(missing_ok=True)


def no_objection(pid: int) -> str:
    """Everybody of our own user may."""
    del pid
    return ""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Judged(H11Protocol):
    """A connection whose other side is looked at first."""

    def __init__(self, objection: Objection, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._objection = objection

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        super().connection_made(transport)
        why = self._why(transport)
        if why:
            self.ws_protocol_class = None
            self.app = functools.partial(_refuse, why)

    def _why(self, transport: asyncio.Transport) -> str:
        """Why the other side may not use the API; empty when it may."""
        found = peer_credentials.peer(transport.get_extra_info("socket"))
        if found is None:
            return ""
        if found.uid not in {0, os.getuid()}:
            return "you are another user of this machine"
        return self._objection(found.pid)


async def _refuse(why: str, scope: Scope, receive: Receive, send: Send) -> None:
    await problem(403, "Not from here", why)(scope, receive, send)


class ApiServer:
    """`serve()` until `shutdown()`; the socket is bound before."""

    def __init__(
        self, application: ASGIApp, bound: socket.socket, objection: Objection = no_objection
    ) -> None:
        """`objection` says why a process, by its id, may not use the API."""
        self._socket = bound
        self._path = Path(bound.getsockname())
        self._server = _Server(
            uvicorn.Config(
                application,
                http=functools.partial(_Judged, objection),  # pyright: ignore[reportArgumentType]
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
            )
        )

    async def serve(self) -> None:
        """Answer requests; returns after `shutdown()`."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            _release(self._socket, self._path)

    def shutdown(self) -> None:
        """Let `serve()` return soon."""
        self._server.should_exit = True
