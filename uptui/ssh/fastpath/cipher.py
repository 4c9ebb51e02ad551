"""AES-GCM as SSH packets use it (RFC 5647), with the key schedule kept and no copy too many."""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG_SIZE: Final = 16
_COUNTER_MASK: Final = 0xFFFFFFFFFFFFFFFF

Buffer = bytes | bytearray | memoryview


class PacketCipher:
    """One direction of a connection; stands in for asyncssh's own cipher object."""

    __slots__ = ("_aead", "_counter", "_fixed", "opened")

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = iv[:4]
        self._counter = int.from_bytes(iv[4:], "big")
        self.opened: bytes | None = None
        """A packet already decrypted, which `decrypt_packet` hands out next."""

    def seal(self, header: bytes, plain: Buffer) -> bytes:
        """Encrypt `plain` and append the tag that also covers `header`."""
        count = self._counter
        self._counter = (count + 1) & _COUNTER_MASK
        return self._aead.encrypt(self._fixed + count.to_bytes(8, "big"), plain, header)

    def open(self, header: Buffer, sealed: Buffer) -> bytes | None:
        """Check and decrypt; None when the tag is wrong."""
        count = self._counter
        self._counter = (count + 1) & _COUNTER_MASK
        try:
            return self._aead.decrypt(self._fixed + count.to_bytes(8, "big"), sealed, header)
        except InvalidTag:
            return None

    def close_again(self) -> None:
        """Forget the last `open`: somebody else will open that packet."""
        self._counter = (self._counter - 1) & _COUNTER_MASK

    # What asyncssh calls

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        del seq
        return header + self.seal(header, packet), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        del seq
        return first_block, first_block[:header_len]

    def decrypt_packet(
        self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes
    ) -> bytes | None:
        del seq
        if self.opened is not None:
            packet, self.opened = self.opened, None
            return packet
        return self.open(first[:header_len], first[header_len:] + rest + mac)
