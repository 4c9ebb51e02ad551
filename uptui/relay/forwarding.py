"""The only use of asyncssh's internals in the relay: pass connection-layer packets on verbatim.

Channels, windows and requests stay end to end between client and host; only the transport layer
(encryption, rekeying) ends here. Used: a connection's packet handlers, its channel table,
send_packet, and what it offers in a key exchange. tests/network/relay/test_forwarding.py fails when
upstream moves any of them.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from asyncssh.connection import SSHConnection
from asyncssh.constants import (
    MSG_CHANNEL_OPEN,
    MSG_DISCONNECT,
    MSG_GLOBAL_REQUEST,
    MSG_IGNORE,
    MSG_KEXINIT,
)
from asyncssh.packet import SSHPacket, String

from uptui.sshoffer import OFFER_WAIT, preferred, puts_ctr_first

FORWARDED: Final = range(80, 101)
"""Message numbers of the connection protocol (RFC 4250, 4.1.2)."""

_HOSTKEYS: Final = String("hostkeys-00@openssh.com")

Judge = Callable[[int, bytes], Awaitable[None] | None]


class _AnyChannel(dict[int, SSHConnection]):
    """Leads every channel number to the connection itself."""

    def __init__(self, conn: SSHConnection) -> None:
        super().__init__()
        self._conn = conn

    def __missing__(self, _: int) -> SSHConnection:
        return self._conn


def watch(conn: SSHConnection, judge: Judge) -> None:
    """Ask `judge` about each channel opening and global request of `conn`.

    It gets the message number and what follows it. None lets asyncssh deal with it; an awaitable
    takes it over, and nothing more is read from `conn` until it is done.
    """
    native = cast("dict[int, Any]", type(conn)._packet_handlers)

    def process(target: SSHConnection, kind: int, seq: int, packet: SSHPacket) -> object:
        taken = judge(kind, packet.get_full_payload()[1:])
        return taken if taken is not None else native[kind](target, kind, seq, packet)

    watched = dict.fromkeys((MSG_GLOBAL_REQUEST, MSG_CHANNEL_OPEN), process)
    cast("Any", conn)._packet_handlers = {**native, **watched}


def forward(source: SSHConnection, sink: SSHConnection) -> None:
    """From now on every connection-layer packet that `source` receives is sent by `sink`.

    Host keys that the other side announces are not passed on: they are not this connection's. A
    disconnect is passed on too, with its reason, and closes both.
    """
    native = cast("dict[int, Any]", type(source)._packet_handlers)

    def process(_: SSHConnection, kind: int, __: int, packet: SSHPacket) -> None:
        body = packet.get_full_payload()[1:]
        if kind != MSG_GLOBAL_REQUEST or not body.startswith(_HOSTKEYS):
            sink.send_packet(kind, body)

    def leave(target: SSHConnection, kind: int, seq: int, packet: SSHPacket) -> object:
        sink.send_packet(kind, packet.get_full_payload()[1:])
        sink.abort()
        return native[kind](target, kind, seq, packet)

    internals = cast("Any", source)
    forwarded = dict.fromkeys(FORWARDED, process)
    internals._packet_handlers = {**native, **forwarded, MSG_DISCONNECT: leave}
    internals._channels = _AnyChannel(source)


def send(conn: SSHConnection, kind: int, body: bytes) -> None:
    """Send one packet; asyncssh holds it back while keys are exchanged."""
    conn.send_packet(kind, body)


def spare_ignores(conn: SSHConnection) -> None:
    """Leave out the empty MSG_IGNORE before each packet: it protects CBC ciphers only, which the
    relay does not offer, and costs half of the throughput."""
    original = conn.send_packet

    def send_packet(pkttype: int, *args: bytes, **rest: Any) -> None:
        if pkttype != MSG_IGNORE:
            original(pkttype, *args, **rest)

    cast("Any", conn).send_packet = send_packet


def offer_late(conn: SSHConnection) -> None:
    """Offer algorithms to an OpenSSH that puts CTR before GCM only once its own offer is here."""
    internals = cast("Any", conn)
    offer: Callable[[], None] = internals._send_kexinit
    native = cast("dict[int, Any]", type(conn)._packet_handlers)
    due: list[asyncio.TimerHandle] = []

    def make_offer() -> None:
        due.pop().cancel()
        if internals._transport is not None:
            offer()

    def send_kexinit() -> None:
        if internals._session_id or not puts_ctr_first(internals._client_version):
            offer()
        else:
            due.append(asyncio.get_running_loop().call_later(OFFER_WAIT, make_offer))

    def process(target: SSHConnection, kind: int, seq: int, packet: SSHPacket) -> object:
        if due:
            internals._enc_algs = preferred(internals._enc_algs, packet.get_remaining_payload())
            make_offer()
        return native[kind](target, kind, seq, packet)

    internals._send_kexinit = send_kexinit
    internals._packet_handlers = {**native, MSG_KEXINIT: process}
