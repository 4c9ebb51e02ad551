"""Cuts a stream of bytes into SFTP packets; knows their lengths and nothing else of them."""

from typing import Final

from uptui.host.ssh.sftp.wire import LENGTH_SIZE, MAX_PACKET, WireError

KEPT: Final = 1024 * 1024
"""Bytes of buffer kept between packets: memory that grows anew for each one halves an upload."""


class Inbox:
    """What has come and was not served yet, in one buffer that is used again."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._end = 0

    def add(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._end + len(data) > len(self._buffer):
            self._make_room(len(data))
        end = self._end + len(data)
        self._buffer[self._end : end] = data
        self._end = end

    def packet(self) -> memoryview | None:
        """The first packet without its length; None while it is not whole. Release the view.

        Raises WireError for a length that no packet has.
        """
        held = self._end - self._start
        if held < LENGTH_SIZE:
            return None
        begin = self._start + LENGTH_SIZE
        size = int.from_bytes(self._buffer[self._start : begin], "big")
        if not 1 <= size <= MAX_PACKET:
            raise WireError(f"SFTP packet of {size} bytes")
        if held < LENGTH_SIZE + size:
            return None
        return memoryview(self._buffer)[begin : begin + size]

    def drop(self, size: int) -> None:
        """Forget the first packet, which has `size` bytes."""
        self._start += LENGTH_SIZE + size
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > KEPT:
                self._buffer = bytearray()

    def clear(self) -> None:
        """Forget everything."""
        self._buffer = bytearray()
        self._start = self._end = 0

    def _make_room(self, size: int) -> None:
        held = self._buffer[self._start : self._end]
        if len(held) + size > len(self._buffer):
            self._buffer = bytearray(max(len(held) + size, 2 * len(self._buffer)))
        self._buffer[: len(held)] = held
        self._start, self._end = 0, len(held)
