"""Work out what a terminal shows from its raw output, a little at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from uptui.host.process.pty import Size
from uptui.host.terminals.emulator import Emulator

SLICE_BYTES: Final = 1024
SLICE_S: Final = 0.002
"""Time taken before other work in the loop gets its turn."""


class Rebuild:
    """Feeds `data` to an emulator and hands it over; may be cancelled."""

    def __init__(self, data: bytes, size: Size, done: Callable[[Emulator], None]) -> None:
        self._data = data
        self._at = 0
        self._done = done
        self._emulator = Emulator(size.columns or 80, size.rows or 24)
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._step)

    def cancel(self) -> None:
        self._handle.cancel()

    def _step(self) -> None:
        until = time.perf_counter() + SLICE_S
        while self._at < len(self._data) and time.perf_counter() < until:
            self._emulator.feed(self._data[self._at : self._at + SLICE_BYTES])
            self._at += SLICE_BYTES
        if self._at < len(self._data):
            self._handle = self._loop.call_soon(self._step)
        else:
            self._done(self._emulator)
