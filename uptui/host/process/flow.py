"""Move bytes between a descriptor and callbacks, with back-pressure both ways; no protocol."""

import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

READ_SIZE: Final = 512 * 1024
"""Bytes asked of one read: large enough that system calls do not limit a download."""
SHORT_READ: Final = 64 * 1024
"""The same while somebody types: a key waits for no more than two such reads."""
TYPING_LASTS: Final = 2.0
"""Seconds after a key in which more are expected."""
HIGH_WATER: Final = 512 * 1024
"""Bytes waiting to be written above which the source of the data is paused."""
LOW_WATER: Final = 128 * 1024
LARGE: Final = 16 * 1024
"""Bytes from which on a piece waits for those of the same turn, to be written with them: each write
wakes the reader up. Only a key or a line has to leave at once."""
PIECES: Final = 64
"""Pieces of one write."""


class Turns:
    """How much one reader may take of the loop at once: all readers share it with who types."""

    def __init__(self) -> None:
        self._typing_until = 0.0

    def typed(self) -> None:
        """Somebody has pressed a key."""
        self._typing_until = time.monotonic() + TYPING_LASTS

    @property
    def size(self) -> int:
        """Bytes for one read."""
        return SHORT_READ if time.monotonic() < self._typing_until else READ_SIZE


TURNS: Final = Turns()
"""Those of this process, which has one loop."""


class DescriptorReader:
    """Reads a non-blocking descriptor until its end, and closes it then."""

    def __init__(
        self, fd: int, on_data: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        self._fd = fd
        self._on_data = on_data
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._paused = False
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    @property
    def closed(self) -> bool:
        return self._fd < 0

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        if not self._paused and self._fd >= 0:
            self._loop.remove_reader(self._fd)
        self._paused = True

    def resume(self) -> None:
        if self._paused and self._fd >= 0:
            self._loop.add_reader(self._fd, self._read)
        self._paused = False

    def drain(self, limit: int) -> None:
        """Deliver what can be read without waiting, at most about `limit` bytes, until paused."""
        while limit > 0 and self._fd >= 0 and not self._paused:
            size = self._read()
            if size <= 0:
                return
            limit -= size

    def detach(self) -> int:
        """Give the open descriptor away (-1 when it has ended); no callback follows."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and not self._paused:
            self._loop.remove_reader(fd)
        return fd

    def close(self) -> None:
        """Stop at once; `on_end` is not called."""
        fd = self.detach()
        if fd >= 0:
            os.close(fd)

    def _read(self) -> int:
        try:
            data = os.read(self._fd, TURNS.size)
        except (BlockingIOError, InterruptedError):
            return -1
        except OSError:
            data = b""  # EIO: a pseudo-terminal whose last user is gone
        if data:
            self._on_data(data)
            return len(data)
        self.close()
        self._on_end()
        return 0


class Drain:
    """Writes to a non-blocking descriptor what it accepts, keeping the rest in order."""

    def __init__(
        self,
        fd: int,
        *,
        on_full: Callable[[], None] | None = None,
        on_room: Callable[[], None] | None = None,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        """`on_broken`: the reader was found gone, and data is dropped from now on."""
        self._fd = fd
        self._on_full = on_full
        self._on_room = on_room
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._queue: deque[memoryview] = deque()
        self._size = 0
        self._full = False
        self._ending = False
        self._armed = False
        self._due = False
        """What waits is written at the end of this turn of the loop."""
        os.set_blocking(fd, False)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def write(self, data: bytes) -> None:
        """Write now or later; after the reader has gone, data is dropped."""
        if self._fd < 0 or self._ending or not data:
            return
        if not self._queue and len(data) < LARGE:
            done = self._try([memoryview(data)])
            if done < 0 or done == len(data):
                return
            data = data[done:]
            self._arm()
        elif not self._armed and not self._due:
            self._due = True
            self._loop.call_soon(self._turn_over)
        self._queue.append(memoryview(data))
        self._size += len(data)
        if self._size > HIGH_WATER and not self._full:
            self._full = True
            if self._on_full is not None:
                self._on_full()

    def _turn_over(self) -> None:
        self._due = False
        if self._fd >= 0 and not self._armed:
            self._ready()

    def end(self) -> None:
        """Close the descriptor once everything is written."""
        self._ending = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Close now, dropping what is not taken at once."""
        if self._due:
            self._turn_over()
        if self._fd < 0:
            return
        self._disarm()
        os.close(self._fd)
        self._fd = -1
        self._queue.clear()
        self._size = 0
        self._room()

    def _ready(self) -> None:
        done = self._try(list(islice(self._queue, PIECES)))
        if done < 0:
            return
        self._size -= done
        while done:
            piece = self._queue.popleft()
            if done < len(piece):
                self._queue.appendleft(piece[done:])
            done -= min(done, len(piece))
        if self._queue:
            self._arm()
        else:
            self._disarm()
            if self._ending:
                self.close()
        if self._size <= LOW_WATER:
            self._room()  # last, because it may write, end or close

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.add_writer(self._fd, self._ready)

    def _disarm(self) -> None:
        """Must precede the descriptor's end: the loop would mistake its successor for it."""
        if self._armed:
            self._armed = False
            self._loop.remove_writer(self._fd)

    def _room(self) -> None:
        if self._full:
            self._full = False
            if self._on_room is not None:
                self._on_room()

    def _try(self, pieces: list[memoryview]) -> int:
        """Bytes written, or -1 when the descriptor was found dead and is now closed."""
        try:
            return os.writev(self._fd, pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return 0
            self.close()
            if self._on_broken is not None:
                self._on_broken()
            return -1
