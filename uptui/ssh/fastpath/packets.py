"""An asyncssh connection that moves packets with few copies and few system calls.

asyncssh cuts the received bytes anew for each packet and writes each packet by itself. Here packets
are opened where they lie, and what is sent while one read is served leaves in one write. With
`forwarding` and `host.sshd.transport` the only user of asyncssh.SSHConnection's internals; each
has a canary in tests/network/ssh/test_packets.py, which fails when upstream moves it.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncssh
from asyncssh.connection import SSHConnection
from asyncssh.constants import (
    MSG_DEBUG,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_REQUEST_FAILURE,
    MSG_REQUEST_SUCCESS,
    MSG_UNIMPLEMENTED,
)
from asyncssh.encryption import GCMEncryption
from asyncssh.packet import SSHPacket, String

from uptui.net.handshakes import Turn
from uptui.runtime.busy_poll import PACE
from uptui.ssh.candidates import SteppedOwner
from uptui.ssh.fastpath.cipher import TAG_SIZE, PacketCipher
from uptui.ssh.fastpath.writev import Outbox, write_all
from uptui.ssh.odd_requests import OddRequests
from uptui.ssh.policy import fitted, wait_for

REKEY_BYTES: Final = 4 << 30
"""Bytes sent under one key; AES-GCM and ChaCha20 bear far more (RFC 4344, OpenSSH's default)."""
LARGE: Final = 16 * 1024
"""Bytes from which on joining costs more than it saves."""
LENGTH_SIZE: Final = 4
BLOCK: Final = 16
"""A packet after its length, padding and all, is a multiple of this (RFC 5647, section 7.2)."""
MIN_PADDING: Final = 4
PADDINGS: Final = tuple(os.urandom(size) for size in range(BLOCK + MIN_PADDING))
"""Padding by its size: random (RFC 4253, section 6), but drawn once, not by a system call for each
packet; AES-GCM hides it with the rest."""
IDLE_PACKETS: Final = 64
"""Packets that say nothing (RFC 4253, section 11) taken before authentication."""
_EMPTY: Final = String(b"")


class PacketConnection(OddRequests):
    """Comes before asyncssh's SSHServerConnection or SSHClientConnection among the bases."""

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)  # pyright: ignore[reportUnknownMemberType]
        self.outbox: Final = Outbox(self._write_out)
        """Within it, what is sent leaves in few writes."""
        self._offer: asyncio.TimerHandle | None = None
        self._idle_packets = 0
        self._turn: Turn | None = None
        self._early = b""

    def take_turns(self, turn: Turn) -> None:
        """Read nothing of the client's before it is its turn to exchange keys."""
        self._turn = turn

    def handshake_over(self) -> None:
        """The keys are exchanged, or the client is gone: the next one's turn."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.finish()

    def take_packet(self, header: bytes, packet: bytes) -> bool:
        """Deal with a packet; False leaves it and its faults to asyncssh.

        `header` is its length; `packet`, decrypted, begins with its padding's length (RFC 4253,
        section 6).
        """
        raise NotImplementedError

    _paced = False
    """What is sent counts for the pace of the loop's waits."""

    # Receiving

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Take bytes from the transport; only the packet that lies across two reads is copied."""
        if self._turn is not None and not self._turn.begun:
            self._hold(self._turn, data)
            return
        outbox = self.outbox
        depth = outbox.depth
        outbox.depth = depth + 1
        try:
            if self._inpbuf:
                self._read_on(data, datatype)
            else:
                self._read(data)
        finally:
            outbox.depth = depth
            if not depth:
                outbox.flush()

    def _hold(self, turn: Turn, data: bytes) -> None:
        """Keep what has come until it is this connection's turn, and read no more meanwhile."""
        self._early += data
        if not turn.asked:
            self._pause_reading(paused=True)
            turn.take(self._go_on)

    def _go_on(self) -> None:
        early, self._early = self._early, b""
        if self._transport is not None:
            self._pause_reading(paused=False)
            self.data_received(early)

    def _pause_reading(self, *, paused: bool) -> None:
        transport = self._transport
        if isinstance(transport, asyncio.Transport) and not transport.is_closing():
            transport.pause_reading() if paused else transport.resume_reading()

    def take_alone(self, data: bytes) -> bool:
        """Deal with a read that is exactly one packet; False leaves it to `data_received`.

        Who waits for each answer sends such, and each of the steps that this spares would delay
        the answer.
        """
        cipher = self._recv_encryption
        if self._inpbuf or not isinstance(cipher, PacketCipher):
            return False  # it is not the beginning of a packet, or there are no keys yet
        if self._recv_handler != self._recv_pkthdr:
            return False  # asyncssh waits for something
        header = data[:LENGTH_SIZE]
        size = int.from_bytes(header, "big")
        if len(data) != LENGTH_SIZE + size + TAG_SIZE or size > self._max_recv_pktlen:
            return False
        packet = cipher.open(header, memoryview(data)[LENGTH_SIZE:])
        try:
            taken = packet is not None and self.take_packet(header, packet)
        except Exception:  # noqa: BLE001 - any fault of ours, as where asyncssh reads
            self.internal_error()
            return True
        if not taken:
            cipher.close_again()
            return False
        self._auth_final = True
        self._recv_seq = (self._recv_seq + 1) & 0xFFFFFFFF
        self._reset_keepalive_timer()
        return True

    def _read_on(self, data: bytes, datatype: int | None) -> None:
        """Take bytes while others wait."""
        missing = self._missing()
        if not 0 < missing < len(data):
            super().data_received(data, datatype)
            return
        super().data_received(data[:missing], datatype)
        if self._transport is None:
            return
        if self._inpbuf:  # asyncssh waits for something: it keeps what comes
            super().data_received(data[missing:], datatype)
        else:
            self._read(memoryview(data)[missing:])

    def _read(self, data: bytes | memoryview) -> None:
        """Take bytes when none wait; what is left of them is kept as asyncssh keeps it."""
        self._inpbuf = data
        self._recv_data()
        if type(self._inpbuf) is not bytes:
            self._inpbuf = bytes(self._inpbuf)

    def _missing(self) -> int:
        """How many bytes the packet begun lacks; 0 when that cannot be said."""
        held = len(self._inpbuf)
        if held < LENGTH_SIZE or not isinstance(self._recv_encryption, PacketCipher):
            return 0
        size = int.from_bytes(self._inpbuf[:LENGTH_SIZE], "big")
        return LENGTH_SIZE + size + TAG_SIZE - held

    def _recv_pkthdr(self) -> bool:
        """Offer packets to `take_packet` straight from the buffer, the others to asyncssh."""
        cipher = self._recv_encryption
        if not isinstance(cipher, PacketCipher):
            self._inpbuf = bytes(self._inpbuf)  # the same ones, unless they are a view
            return super()._recv_pkthdr()
        outbox = self.outbox
        depth = outbox.depth
        view = memoryview(self._inpbuf)
        start, end = 0, len(view)
        while end - start >= LENGTH_SIZE:
            header = bytes(view[start : start + LENGTH_SIZE])
            size = int.from_bytes(header, "big")
            if size > self._max_recv_pktlen:
                raise asyncssh.ProtocolError("Max packet size exceeded")
            stop = start + LENGTH_SIZE + size + TAG_SIZE
            if stop > end:
                break
            packet = cipher.open(header, view[start + LENGTH_SIZE : stop])
            if packet is None:
                raise asyncssh.MACError("MAC verification failed")
            start = stop
            if end - start < LENGTH_SIZE:
                outbox.depth = 0  # what the last of a read causes is sent at once: it is waited for
            taken = self.take_packet(header, packet)
            outbox.depth = depth
            if not taken:
                self._inpbuf = bytes(view[start:])
                cipher.opened = packet
                self._packet = b""
                self._pktlen = self._recv_blocksize - LENGTH_SIZE - self._recv_macsize
                return self._recv_packet()
            self._auth_final = True
            self._recv_seq = (self._recv_seq + 1) & 0xFFFFFFFF
            if self._transport is None:
                return False
        if start:
            self._inpbuf = bytes(view[start:])
        return False

    # Sending

    @property
    def sealing(self) -> PacketCipher | None:
        """The cipher for packets sent past asyncssh; None while keys are or must be exchanged."""
        cipher = self._send_encryption
        if not isinstance(cipher, PacketCipher) or not (self._kex_complete and self._auth_complete):
            return None
        if self._rekey_bytes_sent >= self._rekey_bytes or time.monotonic() >= self._rekey_time:
            return None
        return cipher

    def gather(self, length: bytes, sealed: bytes) -> None:
        """Send a packet that `sealing` has sealed."""
        self._send_seq = (self._send_seq + 1) & 0xFFFFFFFF
        self._rekey_bytes_sent: int = self._rekey_bytes_sent + len(sealed) - TAG_SIZE
        self.outbox.put(length, sealed)

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send a packet, without the empty IGNORE before it that only CBC ciphers need."""
        if pkttype == MSG_IGNORE and args == (_EMPTY,):
            return
        super().send_packet(pkttype, *args, handler=handler)

    def _send(self, data: bytes) -> None:
        self.outbox.put(data)

    def _write_out(self, parts: Sequence[bytes], size: int) -> None:
        transport = self._transport
        if transport is None:
            return
        if size < LARGE:
            transport.write(b"".join(parts))
        else:
            write_all(transport, parts)
        if self._paced:
            PACE.answered(size)

    def _force_close(self, exc: Exception | None) -> None:
        self.outbox.flush()
        super()._force_close(exc)

    # Key exchange

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        super().send_newkeys(k, h)
        self._send_encryption = _adopted(self._send_encryption)
        self._next_recv_encryption = _adopted(self._next_recv_encryption)

    def _send_kexinit(self) -> None:
        """Offer algorithms; to a client once its own offer is here, as its order decides."""
        if self._session_id or not self.is_server():
            super()._send_kexinit()
        else:
            self._offer = self._loop.call_later(wait_for(self._client_version), self._make_offer)

    def _make_offer(self) -> None:
        if self._offer is not None:
            self._offer.cancel()
            self._offer = None
            if self._transport is not None:
                super()._send_kexinit()

    async def _process_kexinit(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self._offer is not None:
            self._enc_algs = fitted(self._enc_algs, packet.get_remaining_payload())
            self._make_offer()
        await super()._process_kexinit(pkttype, pktid, packet)

    def _process_idle(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take a packet that says nothing; without end only from who has logged in."""
        if not self._auth_complete:
            self._idle_packets += 1
            if self._idle_packets > IDLE_PACKETS:
                raise asyncssh.ProtocolError("too many packets that say nothing before login")
        SSHConnection._packet_handlers[pkttype](self, pkttype, pktid, packet)  # noqa: SLF001

    async def send_userauth_success(self) -> None:
        """Let a client in, or on to its other keys."""
        owner = self._owner
        if isinstance(owner, SteppedOwner) and not owner.lets_in():
            self.send_userauth_failure(partial_success=True)
        else:
            await super().send_userauth_success()

    def _process_global_response(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take an answer; one that nobody waits for is a sign of life, as with sshd.

        phpseclib answers every global request, also those that want no answer (RFC 4254, 4).
        """
        if self._global_request_waiters:
            super()._process_global_response(pkttype, pktid, packet)

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own table, with our methods in it
        **OddRequests._packet_handlers,  # noqa: SLF001
        MSG_KEXINIT: _process_kexinit,
        **dict.fromkeys((MSG_REQUEST_SUCCESS, MSG_REQUEST_FAILURE), _process_global_response),
        **dict.fromkeys((MSG_IGNORE, MSG_DEBUG, MSG_UNIMPLEMENTED), _process_idle),
    }


def _adopted(encryption: Any) -> Any:
    """Our cipher in place of asyncssh's AES-GCM, going on where that one is; others stay."""
    if type(encryption) is not GCMEncryption:
        return encryption
    inner = encryption._cipher  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return PacketCipher(inner._key, inner._iv)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
