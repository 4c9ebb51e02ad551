"""Canaries: fail when asyncssh moves what forwarding.py relies on."""

# pyright: reportPrivateUsage=false

import inspect
from typing import cast

import asyncssh
import pytest
from asyncssh.connection import SSHConnection
from asyncssh.constants import (
    MSG_CHANNEL_FIRST,
    MSG_CHANNEL_LAST,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_CONFIRMATION,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_DISCONNECT,
    MSG_GLOBAL_REQUEST,
    MSG_REQUEST_FAILURE,
    MSG_REQUEST_SUCCESS,
)
from asyncssh.packet import Byte, SSHPacket, String, UInt32

from tests.network.relay.standin import new_key
from uptui.relay.gateway.packet_forwarding import ClientLine, Line
from uptui.relay.gateway.policy import accept_options
from uptui.ssh.fastpath.cipher import PacketCipher


def source_of(method: object) -> str:
    return inspect.getsource(method)  # type: ignore[arg-type]


def test_the_version_is_the_one_that_was_read() -> None:
    assert asyncssh.__version__ == "2.24.1"


def test_packet_handlers_are_looked_up_by_number_on_the_instance() -> None:
    assert "self._packet_handlers[pkttype](self, pkttype," in source_of(
        SSHConnection.process_packet
    )
    handlers = SSHConnection._packet_handlers
    wanted = {
        MSG_DISCONNECT,
        MSG_GLOBAL_REQUEST,
        MSG_REQUEST_SUCCESS,
        MSG_REQUEST_FAILURE,
        MSG_CHANNEL_OPEN,
        MSG_CHANNEL_OPEN_CONFIRMATION,
        MSG_CHANNEL_OPEN_FAILURE,
    }
    assert wanted <= handlers.keys()


def test_channel_packets_find_their_handler_in_the_channel_table() -> None:
    source = source_of(SSHConnection._recv_packet)
    assert "handler = self._channels[recv_chan]" in source
    assert "inspect.isawaitable(result)" in source
    assert (MSG_CHANNEL_FIRST, MSG_CHANNEL_LAST) == (93, 127)


def test_packets_wait_while_keys_are_exchanged() -> None:
    source = source_of(SSHConnection.send_packet)
    assert "self._deferred_packets.append((pkttype, args))" in source


def test_a_packet_gives_its_whole_payload_back() -> None:
    packet = SSHPacket(Byte(MSG_CHANNEL_OPEN) + String("session") + UInt32(7))
    packet.get_byte()
    packet.get_string()
    assert packet.get_full_payload()[1:] == String("session") + UInt32(7)


def test_a_client_connection_tells_its_waiter_that_it_is_let_in() -> None:
    assert "self._waiter = options.waiter if wait else None" in source_of(SSHConnection)
    assert "if self._wait == 'auth'" in source_of(SSHConnection)
    assert "self._waiter.set_exception(exc)" in source_of(SSHConnection._cleanup)
    assert "self._owner = self._protocol_factory()" in source_of(SSHConnection.connection_made)


class Sent:
    """Stands where the other connection is; remembers what it was given to send."""

    def __init__(self) -> None:
        self.sealing = PacketCipher(bytes(16), bytes(12))
        self.packets: list[bytes] = []

    def gather(self, length: bytes, sealed: bytes) -> None:
        self.packets.append(length + sealed)


@pytest.mark.parametrize(
    ("padding", "kind", "size", "passed"),
    [
        (4, 94, 32, True),
        (30, 94, 32, True),
        (31, 94, 32, False),
        (3, 94, 32, False),
        (4, 94, 31, False),
        (4, 94, 0, False),
        (4, MSG_GLOBAL_REQUEST, 32, False),
        (4, MSG_DISCONNECT, 32, False),
        (4, 101, 32, False),
    ],
)
async def test_only_well_formed_packets_of_the_connection_layer_are_passed_on(
    padding: int, kind: int, size: int, passed: bool
) -> None:
    packet = (bytes([padding, kind]) + bytes(30))[:size]
    line = ClientLine(accept_options([new_key()], 10), asyncssh.SSHServer())
    sink = Sent()
    line._sink = cast("Line", sink)
    header = len(packet).to_bytes(4, "big")
    assert line.take_packet(header, packet) is passed
    wanted = [header + PacketCipher(bytes(16), bytes(12)).seal(header, packet)] if passed else []
    assert sink.packets == wanted
