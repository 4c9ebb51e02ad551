"""What a terminal shows, and what its keys do, while the host has not yet decided."""

import asyncio
from collections.abc import Callable
from typing import Final

DELAY: Final = 0.3
"""Seconds before anything is shown: most decisions need no person."""
MAX_TYPED: Final = 4096
"""Bytes typed ahead that are kept for the shell."""
_GIVE_UP: Final = (b"\x03", b"\x04")
"""Ctrl-C and Ctrl-D."""


class WaitingRoom:
    """One terminal that waits."""

    def __init__(self, host: str, show: Callable[[str], None], give_up: Callable[[], None]) -> None:
        self._show = show
        self._give_up = give_up
        self._typed = bytearray()
        self._shown = False
        self._timer = asyncio.get_running_loop().call_later(DELAY, self._announce, host)

    def type(self, data: bytes) -> None:
        """Keys of the client."""
        if any(key in data for key in _GIVE_UP):
            self._give_up()
        elif len(self._typed) + len(data) <= MAX_TYPED:
            self._typed += data

    def leave(self, *, admitted: bool) -> bytes:
        """The wait is over; returns what was typed ahead."""
        self._timer.cancel()
        if self._shown and admitted:
            self._show("approved")
        return bytes(self._typed) if not self._shown else b""

    def _announce(self, host: str) -> None:
        self._shown = True
        self._show(f"waiting for approval of {host}, Ctrl-C to give up")
