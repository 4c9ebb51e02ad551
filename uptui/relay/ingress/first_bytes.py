"""The first bytes of a connection: collected against a clock until they say what follows."""

import asyncio


class FirstBytes(asyncio.Protocol):
    """Ends a connection whose opening is not complete in time; `read` judges what is there."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._timeout, transport.abort)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        self.read(self._transport, self._buffer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.complete()

    def read(self, transport: asyncio.Transport, opening: bytes) -> None:
        """Look at all that has come so far; called again with more unless it is `complete`."""
        raise NotImplementedError

    def complete(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
