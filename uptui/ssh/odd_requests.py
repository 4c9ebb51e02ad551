"""Requests that cannot be read, or are of a kind that nobody knows, are refused alone.

asyncssh ends the connection for them, and with it what everybody else has on it: a client's other
sessions, or the people behind one jump host. Both ends of both servers use this.
"""

# pyright: reportPrivateUsage=false

from typing import Any, Final

import asyncssh
from asyncssh.channel import SSHChannel
from asyncssh.connection import SSHConnection
from asyncssh.constants import (
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_GLOBAL_REQUEST,
    OPEN_CONNECT_FAILED,
    OPEN_RESOURCE_SHORTAGE,
    OPEN_UNKNOWN_CHANNEL_TYPE,
)
from asyncssh.misc import map_handler_name
from asyncssh.packet import PacketDecodeError, SSHPacket

MIN_DATA_PACKET: Final = 1024
"""Bytes that a peer must take in one data packet at least: each packet costs a step, so whoever
asks for packets of one byte keeps everybody busy. The smallest that a client in use asks for is
8 KB (Dropbear's on small devices)."""
CHANNELS: Final = frozenset({b"session", b"direct-tcpip", b"direct-streamlocal@openssh.com"})
"""Kinds of channels that a client may open."""
PROOFS: Final = 4
"""Times that a client may have host keys proved to it: each is a signature for every key."""
_PROVE: Final = "hostkeys_prove_00_at_openssh_dot_com"
_UNREADABLE: Final = (PacketDecodeError, asyncssh.ProtocolError)


class Conforming(asyncssh.ProtocolError):
    """What ends a connection as it should."""


class OddRequests(SSHConnection):
    """A connection; comes before asyncssh's own among the bases."""

    _proofs = 0

    def _process_channel_open(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Open a channel, unless it is none that we have, or its peer takes tiny packets only."""
        opening = SSHPacket(packet.get_full_payload())
        try:
            opening.get_byte()
            kind, number = opening.get_string(), opening.get_uint32()
            _, packet_size = opening.get_uint32(), opening.get_uint32()
        except PacketDecodeError:
            return  # nobody could be answered
        if kind not in CHANNELS:
            shown = kind[:64].decode("ascii", "replace")
            text = f"no channels of kind {shown!r} here"
            self.send_channel_open_failure(number, OPEN_UNKNOWN_CHANNEL_TYPE, text, "en")
            return
        if packet_size < MIN_DATA_PACKET:
            problem = f"data packets of at least {MIN_DATA_PACKET} bytes, please"
            self.send_channel_open_failure(number, OPEN_RESOURCE_SHORTAGE, problem, "en")
            return
        try:
            super()._process_channel_open(pkttype, pktid, packet)
        except Conforming:
            raise
        except _UNREADABLE as error:
            self.send_channel_open_failure(number, OPEN_CONNECT_FAILED, str(error), "en")

    def _process_global_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take a request; one that does not say whether it wants an answer gets none."""
        del pkttype, pktid
        try:
            name, wants_reply = packet.get_string(), packet.get_boolean()
        except PacketDecodeError:
            return
        known = f"_process_{map_handler_name(name.decode('ascii', 'replace'))}_global_request"
        self._global_request_queue.append((getattr(self, known, None), packet, wants_reply))
        if len(self._global_request_queue) == 1:
            self._service_next_global_request()

    def _service_next_global_request(self) -> None:
        try:
            super()._service_next_global_request()
        except _UNREADABLE:
            self._report_global_response(False)

    def _process_hostkeys_prove_00_at_openssh_dot_com_global_request(
        self, packet: SSHPacket
    ) -> None:
        """Prove host keys (OpenSSH PROTOCOL, 2.5), each once: a signature is dear."""
        asked = SSHPacket(packet.get_full_payload())
        asked.get_byte()
        asked.get_string()
        asked.get_boolean()
        keys: list[bytes] = []
        while asked:
            keys.append(asked.get_string())
        self._proofs += 1
        prove: Any = getattr(super(), f"_process_{_PROVE}_global_request", None)
        if prove is None or len(set(keys)) < len(keys) or self._proofs > PROOFS:
            self._report_global_response(False)
        else:
            prove(packet)

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own table, with our methods in it
        **SSHConnection._packet_handlers,  # noqa: SLF001
        MSG_GLOBAL_REQUEST: _process_global_request,
        MSG_CHANNEL_OPEN: _process_channel_open,
    }


class OddChannelRequests(SSHChannel[bytes]):
    """A channel; comes before asyncssh's own among the bases."""

    def _process_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take a request; one that does not say whether it wants an answer gets none."""
        del pkttype, pktid
        try:
            name, wants_reply = packet.get_string(), packet.get_boolean()
        except PacketDecodeError:
            return
        if self._recv_state not in {"open", "eof_pending", "eof"}:
            raise asyncssh.ProtocolError("Channel not open")
        self._request_queue.append((name.decode("ascii", "replace"), packet, wants_reply))
        if len(self._request_queue) == 1:
            self._service_next_request()

    def _service_next_request(self) -> None:
        request, packet, _ = self._request_queue[0]
        handler = getattr(self, f"_process_{map_handler_name(request)}_request", None)
        try:
            result = False if handler is None else handler(packet)
        except _UNREADABLE:
            result = False
        if result is not None:
            self._report_response(result)

    def _process_response(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take an answer; one that nobody waits for says nothing."""
        if self._request_waiters:
            super()._process_response(pkttype, pktid, packet)

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own table, with our methods in it
        **SSHChannel._packet_handlers,  # noqa: SLF001
        MSG_CHANNEL_REQUEST: _process_request,
        **dict.fromkeys((MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE), _process_response),
    }
