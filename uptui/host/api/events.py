"""Tells event streams when the snapshot has become another one, and keeps its newest encoding."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec

from uptui.protocol.host_api import Snapshot


class Changes:
    """Counts revisions of the snapshot; builds it only when somebody asks."""

    def __init__(self, build: Callable[[], Snapshot]) -> None:
        self._build = build
        self._touched = True
        self._touches = 0
        self._body = b""
        self._revision = 0
        self._closed = False
        self._wake = asyncio.Event()

    def touch(self) -> None:
        """Something may have changed."""
        self._touched = True
        self._touches += 1
        self._wake.set()

    def close(self) -> None:
        """No more revisions will come: every stream ends."""
        self._closed = True
        self._wake.set()

    def snapshot_json(self) -> bytes:
        """The snapshot of this moment."""
        return msgspec.json.encode(msgspec.structs.replace(self._build(), taken_at=time.time()))

    async def changed(self, seen: int, patience: float) -> int:
        """See api.Host.changed."""
        deadline = time.monotonic() + patience
        while not self._closed:
            if self._current() != seen:
                return self._revision
            left = deadline - time.monotonic()
            if left <= 0:
                return seen
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
        return -1

    async def touched(self, seen: int) -> int:
        """Wait for a touch beyond the first `seen`; returns how many there were, -1 at the end.

        For whom the snapshot does not matter: it is not built.
        """
        while not self._closed and self._touches == seen:
            self._wake.clear()
            await self._wake.wait()
        return -1 if self._closed else self._touches

    def _current(self) -> int:
        """The revision, after a look at what touches have brought."""
        if self._touched:
            self._touched = False
            body = msgspec.json.encode(msgspec.structs.replace(self._build(), taken_at=0.0))
            if body != self._body:
                self._body = body
                self._revision += 1
        return self._revision
