"""The newest bytes of a terminal's output, bounded; older ones leave only their lasting effects."""

from collections import deque
from typing import Final

from uptui.core.terminal_stream import skim

DEFAULT_BYTES: Final = 256 * 1024
"""Enough for many full screens of an ordinary size."""
MAX_LASTING: Final = 16 * 1024
"""Bytes of modes and titles remembered from what was dropped; the newest win."""


class Ring:
    """Bytes in order, at most about `limit` of them."""

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._lasting = b""
        self.total = 0
        """Bytes ever appended."""

    @property
    def size(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        """Add `data`, dropping the oldest when there is too much."""
        self.total += len(data)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > 2 * self._limit:
            self._cut()

    def replay(self) -> bytes:
        """What a terminal should be fed to look as it does now."""
        return self._lasting + b"".join(self._pieces)

    def clear(self) -> None:
        self._pieces.clear()
        self._size = 0
        self._lasting = b""

    def _cut(self) -> None:
        whole = b"".join(self._pieces)
        at = whole.find(b"\n", len(whole) - self._limit) + 1 or len(whole) - self._limit
        lasting = self._lasting + skim(whole[:at])
        if len(lasting) > MAX_LASTING:
            lasting = lasting[lasting.index(b"\x1b", len(lasting) - MAX_LASTING) :]
        self._lasting = lasting
        self._pieces = deque([whole[at:]])
        self._size = len(whole) - at
