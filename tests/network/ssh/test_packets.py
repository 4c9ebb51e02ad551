"""Canaries for `uptui.ssh.fastpath.packets`, and what moves packets past asyncssh."""

# pyright: reportPrivateUsage=false

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncssh
import pytest
from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_CHANNEL_DATA, MSG_IGNORE, MSG_KEXINIT
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import GCMEncryption
from asyncssh.packet import SSHPacket

from tests.network.ssh.conftest import new_key, until
from uptui.host.sshd.settings import SSHSettings
from uptui.host.sshd.transport import SshTransport, options
from uptui.ssh.fastpath.cipher import PacketCipher
from uptui.ssh.fastpath.writev import MOST, WRITE_SIZE, Outbox, write_all


def source_of(method: object) -> str:
    return inspect.getsource(method)  # type: ignore[arg-type]


def test_the_pinned_version() -> None:
    assert asyncssh.__version__ == "2.24.1"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (SSHConnection, "data_received", ["data", "datatype"]),
        (SSHConnection, "send_packet", ["pkttype", "args", "handler"]),
        (SSHConnection, "_send", ["data"]),
        (SSHConnection, "_force_close", ["exc"]),
        (SSHConnection, "_recv_data", []),
        (SSHConnection, "_recv_pkthdr", []),
        (SSHConnection, "_recv_packet", []),
        (SSHConnection, "_send_kexinit", []),
        (SSHConnection, "_process_kexinit", ["_pkttype", "_pktid", "packet"]),
        (SSHConnection, "_process_global_response", ["pkttype", "_pktid", "packet"]),
        (SSHConnection, "send_userauth_success", []),
        (SSHConnection, "send_userauth_failure", ["partial_success"]),
        (SSHConnection, "send_newkeys", ["k", "h"]),
        (GCMEncryption, "decrypt_packet", ["seq", "first", "rest", "header_len", "mac"]),
    ],
)
def test_methods_are_where_they_were(owner: Any, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters)[1:] == parameters


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            SSHConnection,
            "_inpbuf _packet _pktlen _recv_handler _recv_seq _recv_encryption _recv_blocksize "
            "_recv_macsize _next_recv_encryption _send_encryption _send_seq _rekey_bytes "
            "_rekey_bytes_sent _rekey_time _kex_complete _session_id _client_version _enc_algs "
            "_auth_complete _auth_final _max_recv_pktlen _transport _global_request_waiters "
            "_global_request_queue",
        ),
        (GCMCipher, "_key _iv"),
    ],
)
def test_attributes_are_what_they_were(owner: Any, names: str) -> None:
    used = set(owner.__init__.__code__.co_names)
    assert set(names.split()) <= used


def test_bytes_received_wait_in_one_buffer() -> None:
    assert "self._inpbuf += data" in source_of(SSHConnection.data_received)
    assert "while self._inpbuf and self._recv_handler():" in source_of(SSHConnection._recv_data)
    assert "self._recv_handler = lambda: False" in source_of(SSHConnection._recv_packet)


def test_an_offer_is_made_once_the_clients_version_is_known_and_can_be_narrowed() -> None:
    received = source_of(SSHConnection._recv_version)
    assert received.index("self._client_version = version") < received.index("_send_kexinit()")
    assert "self._enc_algs" in source_of(SSHConnection._send_kexinit)
    assert MSG_KEXINIT in SSHConnection._packet_handlers
    assert "self._session_id" in source_of(SSHConnection.send_newkeys)


def test_ignores_can_be_left_out() -> None:
    assert "self.send_packet(MSG_IGNORE, String(b''))" in source_of(SSHConnection.send_packet)
    assert MSG_IGNORE == 2


def test_our_cipher_speaks_as_asyncsshs_does() -> None:
    key, iv = bytes(range(16)), bytes(range(12))
    theirs = GCMEncryption(GCMCipher("aes128-gcm", key, iv))
    ours = PacketCipher(key, iv)
    header = (32).to_bytes(4, "big")
    for number in range(3):
        plain = bytes([number]) * 32
        assert b"".join(theirs.encrypt_packet(number, header, plain)) == b"".join(
            ours.encrypt_packet(number, header, plain)
        )


def test_a_forged_packet_is_found() -> None:
    key, iv = bytes(16), bytes(12)
    sealed = bytearray(PacketCipher(key, iv).seal(b"head", b"x" * 32))
    sealed[3] ^= 1
    assert PacketCipher(key, iv).open(b"head", sealed) is None


async def gathered(pieces: list[bytes]) -> tuple[bytes, int]:
    """What arrives of `pieces`, and how many bytes the transport had to keep."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    theirs.setblocking(False)
    transport.write(b"first")
    write_all(transport, pieces)
    kept = transport.get_write_buffer_size()
    got = bytearray()
    wanted = 5 + sum(len(piece) for piece in pieces)
    while len(got) < wanted:
        got += await loop.sock_recv(theirs, 1 << 20)
    write_all(transport, [b"a", b"b"])
    got += await loop.sock_recv(theirs, 2)
    transport.abort()
    theirs.close()
    await until(transport.is_closing)
    write_all(transport, [b"lost"])
    return bytes(got), kept


@pytest.mark.parametrize(
    "sizes", [[1, 2, 3], [0, 1, 0], [70_000] * 40, [1] * (MOST + 1), [3_000_000, 1, 3_000_000]]
)
async def test_pieces_arrive_in_order_however_much_the_socket_takes(sizes: list[int]) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    got, kept = await gathered(pieces)
    assert got == b"first" + b"".join(pieces) + b"ab"
    assert (kept > 0) == (sum(sizes) > 1_000_000)


class Written:
    """What an outbox has handed on."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.box = Outbox(self.take)

    def take(self, parts: Sequence[bytes], size: int) -> None:
        self.pieces.append(b"".join(parts))
        assert len(self.pieces[-1]) == size


def test_an_outbox_hands_on_at_once_unless_it_gathers() -> None:
    written = Written()
    written.box.put(b"a", b"b")
    written.box.put(b"c")
    assert written.pieces == [b"ab", b"c"]


def test_an_outbox_gathers_until_the_outermost_end() -> None:
    written = Written()
    with written.box:
        written.box.put(b"a")
        with written.box:
            written.box.put(b"b", b"c")
        assert written.pieces == []
    assert written.pieces == [b"abc"]
    with written.box:
        written.box.put(b"d")
        written.box.flush()
        assert written.pieces == [b"abc", b"d"]
    assert written.pieces == [b"abc", b"d"]


def test_an_outbox_holds_no_more_than_one_write() -> None:
    written = Written()
    with written.box:
        written.box.put(bytes(WRITE_SIZE - 1))
        assert written.pieces == []
        written.box.put(b"x")
        assert [len(piece) for piece in written.pieces] == [WRITE_SIZE]


class Sink(asyncio.Transport):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        """Nothing is open."""


class Fed:
    """A wire that is given packets by hand; those numbered 80 are noted, and wait for `go`."""

    def __init__(self) -> None:
        key, iv = bytes(16), bytes(12)
        settings = SSHSettings()
        made = options(settings, [new_key()])
        self._cipher = PacketCipher(key, iv)
        self.go = asyncio.Event()
        self.seen: list[bytes] = []
        loop = asyncio.get_running_loop()
        self.wire: Any = SshTransport(loop, settings, made, asyncssh.SSHServer())
        self.sink = self.wire._transport = Sink()
        self.wire._recv_encryption = PacketCipher(key, iv)
        self.wire._recv_handler = self.wire._recv_pkthdr
        self.wire._auth_complete = True
        self.wire._packet_handlers = {80: self._handle}

    async def _handle(self, wire: SshTransport, kind: int, seq: int, packet: SSHPacket) -> bool:
        del wire, kind, seq
        await self.go.wait()
        self.seen.append(packet.get_remaining_payload())
        return True

    def packet(self, kind: int, body: bytes) -> bytes:
        payload = bytes([kind]) + body
        padding = 4 + -(1 + len(payload) + 4) % 16
        plain = bytes([padding]) + payload + bytes(padding)
        header = len(plain).to_bytes(4, "big")
        return header + self._cipher.seal(header, plain)


@pytest.fixture
async def fed() -> AsyncIterator[Fed]:
    made = Fed()
    yield made
    made.wire.abort()
    await asyncio.sleep(0)


@pytest.mark.parametrize("cut", [2, 20, 45])
@pytest.mark.parametrize("more", [0, 1, 30])
async def test_packets_wait_while_an_earlier_one_is_dealt_with(
    fed: Fed, cut: int, more: int
) -> None:
    """However the reads cut them: one may end exactly where the packet begun before does."""
    packets = [fed.packet(80, bytes([number]) * 20) for number in range(4)]
    stream = b"".join(packets)
    ends = [cut, len(packets[0]) + more, len(packets[0]) + more + 9, len(stream)]
    start = 0
    for end in ends:
        fed.wire.data_received(stream[start:end])
        start = end
    assert fed.seen == []
    fed.go.set()
    await until(lambda: len(fed.seen) == len(packets))
    assert fed.seen == [bytes([number]) * 20 for number in range(4)]
    assert type(fed.wire._inpbuf) is bytes


async def test_packets_that_come_one_by_one_wait_as_well(fed: Fed) -> None:
    """Those that asyncssh deals with, and those taken past it."""
    taken: list[bytes] = []

    def take(header: bytes, packet: bytes) -> bool:
        del header
        if packet[1] == 80:
            return False
        taken.append(packet[2:4])
        return True

    fed.wire.take_packet = take
    for body in (b"1.", b"2."):
        fed.wire.data_received(fed.packet(80, body))
        fed.wire.data_received(fed.packet(81, body))
    assert (fed.seen, taken) == ([], [])
    fed.go.set()
    await until(lambda: len(taken) == 2)
    assert (fed.seen, taken) == ([b"1.", b"2."], [b"1.", b"2."])


async def test_a_forged_packet_alone_in_a_read_ends_the_connection(fed: Fed) -> None:
    forged = bytearray(fed.packet(80, b"x"))
    forged[-1] ^= 1
    fed.wire.data_received(bytes(forged))
    fed.wire.data_received(fed.packet(80, b"late"))
    fed.go.set()
    await asyncio.sleep(0.05)
    assert fed.seen == []
    assert fed.wire._transport is None


async def test_a_fault_in_serving_a_packet_ends_the_connection(fed: Fed) -> None:
    def fail(header: bytes, packet: bytes) -> bool:
        del header, packet
        raise RuntimeError("ours")

    fed.wire.take_packet = fail
    fed.wire.data_received(fed.packet(80, b"x"))
    await asyncio.sleep(0.05)
    assert fed.wire._transport is None


@pytest.mark.parametrize("count", [1, 3])
async def test_what_the_last_packet_of_a_read_causes_is_not_held_back(fed: Fed, count: int) -> None:
    written_before: list[int] = []

    def answer(header: bytes, packet: bytes) -> bool:
        del header, packet
        fed.wire.outbox.put(b"answer")
        written_before.append(len(fed.sink.written))
        return True

    fed.wire.take_packet = answer
    whole = b"".join(fed.packet(80, b"x") for _ in range(count))
    half = fed.packet(80, b"half")
    fed.wire.data_received(whole + half[:3])
    assert written_before == [0] * (count - 1) + [1]
    assert fed.sink.written == [b"answer" * count]
    fed.wire.data_received(half[3:])
    assert fed.sink.written == [b"answer" * count, b"answer"]


async def test_nothing_is_served_after_a_packet_that_ends_the_connection(fed: Fed) -> None:
    fed.go.set()
    wrong = fed.packet(MSG_CHANNEL_DATA, (99).to_bytes(4, "big") + bytes(4))
    fed.wire.data_received(wrong[:10])
    fed.wire.data_received(wrong[10:] + fed.packet(80, b"late"))
    await asyncio.sleep(0.05)
    assert fed.seen == []
    assert fed.wire._transport is None
