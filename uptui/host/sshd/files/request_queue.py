"""Cuts a stream of bytes into SFTP packets; knows their lengths and nothing else of them."""

from typing import Final

from uptui.host.sshd.files.codec import LENGTH_SIZE, MAX_PACKET, WireError

KEPT: Final = 1024 * 1024
"""Bytes of buffer kept between packets: memory that grows anew for each one halves an upload."""


class RequestQueue:
    """What has come and was not served yet: one piece as it came, several in one buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        """Used again and again."""
        self._held: bytes | bytearray = self._buffer
        """Where the bytes lie: there, or in the only piece that has come."""
        self._start = 0
        self._end = 0

    def add(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._start == self._end:
            self._held = data
            self._start, self._end = 0, len(data)
            return
        self._gather(len(data))
        end = self._end + len(data)
        self._buffer[self._end : end] = data
        self._end = end

    @property
    def empty(self) -> bool:
        """Whether there is nothing, not even a part of a packet."""
        return self._start == self._end

    def packet(self) -> memoryview | None:
        """The first packet without its length, valid until `drop`; None while it is not whole.

        Raises WireError for a length that no packet has.
        """
        begin = self._start + LENGTH_SIZE
        if begin > self._end:
            return None
        size = int.from_bytes(self._held[self._start : begin], "big")
        if not 1 <= size <= MAX_PACKET:
            raise WireError(f"SFTP packet of {size} bytes")
        if begin + size > self._end:
            return None
        return memoryview(self._held)[begin : begin + size]

    def drop(self, size: int) -> None:
        """Forget the first packet, which has `size` bytes."""
        self._start += LENGTH_SIZE + size
        if self._start == self._end:
            self._start = self._end = 0
            self._held = self._buffer
            if len(self._buffer) > KEPT:
                self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._held = self._buffer = bytearray()
        self._start = self._end = 0

    def _gather(self, more: int) -> None:
        """Have all bytes in the buffer, with room for `more`."""
        size = self._end - self._start
        if self._held is self._buffer and self._end + more <= len(self._buffer):
            return
        held = self._held[self._start : self._end]
        if size + more > len(self._buffer):
            self._buffer = bytearray(max(size + more, 2 * len(self._buffer)))
        self._buffer[:size] = held
        self._held = self._buffer
        self._start, self._end = 0, size
