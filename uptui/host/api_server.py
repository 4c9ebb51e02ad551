"""Binds the host API's Unix socket privately and serves an ASGI application on it."""

import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from uptui.errors import StateError
from uptui.host.state import private_directory

SHUTDOWN_TIMEOUT: Final = 3
"""Seconds that open requests get when the daemon stops."""
BACKLOG: Final = 64


def bind(path: Path) -> socket.socket:
    """A Unix socket with mode 0600 at `path`, replacing one that a dead daemon left behind.

    The caller holds the lock of the state directory, so whatever is at `path` is stale.
    """
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


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class ApiServer:
    """`serve()` until `shutdown()`; the socket is bound before."""

    def __init__(self, application: ASGIApp, bound: socket.socket) -> None:
        self._socket = bound
        self._path = Path(bound.getsockname())
        self._server = _Server(
            uvicorn.Config(
                application,
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
