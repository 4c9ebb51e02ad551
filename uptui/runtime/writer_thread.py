"""Lines for a stream whose reader may stand still; knows neither what they say nor who reads them.

Shared by host and relay: a stopped terminal or a pipe that nobody reads must not stop the service,
so a thread of its own writes, and what finds no room is counted instead of kept.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 1024 * 1024
"""Bytes that wait for the reader; lines beyond are lost."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that the end waits for a reader."""


class WriterThread:
    """Writes to a descriptor, in order; takes `write` and `flush` as a text stream does."""

    def __init__(self, fd: int, lost: Callable[[int], str]) -> None:
        """`lost` says that so many lines are missing, once there is room to say it."""
        self._fd = fd
        self._lost_line = lost
        self._wake = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._lost = 0
        threading.Thread(target=self._run, name=f"writer-{fd}", daemon=True).start()

    def write(self, text: str) -> None:
        """Take a whole line."""
        data = text.encode("utf-8", "replace")
        with self._wake:
            if self._lost or self._waiting + len(data) > MAX_WAITING:
                self._lost += 1
                return
            self._queue.append(data)
            self._waiting += len(data)
            self._wake.notify_all()

    def flush(self) -> None:
        """Every line is on its way already."""

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Wait until everything is written, but not for ever."""
        with self._wake:
            self._wake.wait_for(lambda: not self._waiting, timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue)
                data = b"".join(self._queue)
                self._queue.clear()
            self._deliver(data)
            with self._wake:
                self._waiting -= len(data)
                if self._lost and not self._queue:
                    self._own_up()
                self._wake.notify_all()

    def _own_up(self) -> None:
        count, self._lost = self._lost, 0
        self.write(self._lost_line(count))

    def _deliver(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError:
                return  # whoever read this is gone; the service is not
