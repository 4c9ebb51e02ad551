"""Channels over an SshTransport; together with it the only place that touches asyncssh's internals.

They send large writes with few copies, keep their data while the transport is full or keys are
exchanged, end in sshd's order (data, EOF, status, close), and take commands in any encoding.
"""

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from asyncssh.channel import SSHServerChannel, SSHTCPChannel, SSHUNIXChannel
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
)
from asyncssh.packet import Boolean, SSHPacket, String, UInt32

from uptui.host.process.spawn import ExitStatus
from uptui.host.process.ttymodes import read_modes
from uptui.ssh.odd_requests import Conforming, OddChannelRequests

if TYPE_CHECKING:
    from uptui.host.sshd.transport import SshTransport

CHANNEL_BUFFER: Final = 512 * 1024
"""Bytes waiting for a channel's window above which its writer is paused."""
PACKETS_A_TURN: Final = 64
"""Packets sent at once: a whole window of usual ones, but no client may keep the loop busy by
asking for tiny ones."""


class TunedChannel(OddChannelRequests):
    """What all channels share: large writes with few copies, none while the transport is full."""

    _goes_on = False
    """The rest is sent in the next turn of the loop."""

    def write(self, data: bytes, datatype: int | None = None) -> None:
        """Send bytes now or when the client's window and the transport allow."""
        if self._encoding is not None:
            super().write(data, datatype)
            return
        if self._send_state != "open":
            raise BrokenPipeError("Channel not open for sending")
        if datatype is None:
            size, wire = len(data), self._conn
            if (
                not self._send_buf  # nothing waits before it
                and 0 < size <= self._send_pktsize
                and size <= self._send_window
                and wire is not None
                and wire.send_at_once(self._send_chan, data)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - an SshTransport; a cast is a call
            ):
                self._send_window -= size
                return
        elif datatype not in self._write_datatypes:
            raise OSError("Invalid extended data type")
        if data:
            kept = data if isinstance(data, bytes) else bytes(data)  # pyright: ignore[reportUnnecessaryIsInstance] - forwards may pass a bytearray that they reuse
            self._pending.append((memoryview(kept), datatype))
            self._send_buf_len += len(kept)
            self._flush_send_buf()

    @property
    def outbox(self) -> contextlib.AbstractContextManager[None]:
        """Within it, what is written leaves together."""
        wire = cast("SshTransport | None", self._conn)
        return contextlib.nullcontext() if wire is None else wire.outbox

    def transport_ready(self) -> None:
        """The transport takes data again."""
        if self._session is not None:
            self._flush_send_buf()

    def widen(self, window: int) -> None:
        """Let the client send up to `window` bytes ahead from now on; never fewer than before."""
        more = window - self._init_recv_window
        if more > 0 and self._recv_state == "open":
            self._init_recv_window = window
            self.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(more))
            self._recv_window = self._recv_window + more

    def _deliver_data(self, data: bytes, datatype: int | None) -> None:
        """Hand data on and open the window again, by no more than what is not still held here.

        asyncssh opens it fully at each piece delivered, so that a session which pauses and resumes
        lets its client send without bound.
        """
        if self._encoding is not None:
            super()._deliver_data(data, datatype)
            return
        if self._recv_window < self._init_recv_window // 2:
            held: int = sum(len(piece) for piece, _ in self._recv_buf)
            room = self._init_recv_window - self._recv_window - held
            if room >= self._init_recv_window // 4:
                self.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(room))
                self._recv_window: int = self._recv_window + room
        if self._session is not None:
            self._session.data_received(data, datatype)

    @property
    def _pending(self) -> list[tuple[memoryview, int | None]]:
        return self.__dict__["_send_buf"]

    def _flush_send_buf(self) -> None:
        wire = cast("SshTransport | None", self._conn)
        if wire is None:
            return
        if self._pending:
            self._send_pending(wire)
        if self._pending:
            self._pause_resume_writing()
        else:
            super()._flush_send_buf()

    def _send_pending(self, wire: "SshTransport") -> None:
        pending = self._pending
        number = self._send_chan
        if number is None:
            return
        turn = self._send_pktsize * PACKETS_A_TURN
        with wire.outbox:
            while pending and turn > 0 and self._send_window and not wire.blocked:
                view, datatype = pending[0]
                room = view[: min(self._send_window, turn)]
                sent = wire.send_channel_data(number, datatype, room, self._send_pktsize)
                if sent == len(view):
                    del pending[0]
                else:
                    pending[0] = (view[sent:], datatype)
                self._send_buf_len -= sent
                self._send_window -= sent
                turn -= sent
        if turn <= 0 and pending and not self._goes_on:
            self._goes_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        self.transport_ready()

    def take_data(self, data: bytes) -> bool:
        """Deliver bytes of a data packet; False when it must be judged at length."""
        if self._recv_state != "open" or len(data) > self._recv_window:
            return False
        if self._recv_paused or self._send_state in {"close_pending", "closed"}:
            self._accept_data(data)
        elif data:
            self._recv_window -= len(data)
            session = self._session
            if session is None or self._recv_window < self._init_recv_window // 2 or self._encoding:
                self._deliver_data(data, None)
            else:
                session.data_received(data, None)
        return True


class SessionChannel(TunedChannel, SSHServerChannel[bytes]):
    """A session channel that ends in order and accepts commands in any encoding."""

    _ending: ExitStatus | None = None
    _told = False
    """The status was sent already."""
    _held_close: tuple[int, int, SSHPacket] | None = None
    _env_bytes = 0
    display: str | None = None
    """DISPLAY of the programs started here."""
    on_unread: Callable[[], None] | None = None
    """Called when nobody reads a command's output any more at the client."""
    _unread = False
    left = False
    """The client has closed its side and waits for the status only."""
    on_client_close: Callable[[], None] | None = None
    """Called when the client has closed the channel, even while reading is paused."""

    def finish(self, status: ExitStatus) -> None:
        """After everything written: EOF, then `status`, then close."""
        if self._ending is None and self._send_state in {"open", "eof_pending", "eof"}:
            self._ending = status
            wire = cast("SshTransport", self._conn)
            with wire.outbox:
                self.write_eof()
                self._flush_send_buf()

    def _flush_send_buf(self) -> None:
        super()._flush_send_buf()
        if self._ending is not None and self._send_state == "eof":
            ending, self._ending = self._ending, None
            self._send_status(ending)
            self.close()
            if self._held_close is not None:
                super()._process_close(*self._held_close)

    @property
    def ending(self) -> bool:
        """Whether it closes by itself once its last data has left."""
        return self._ending is not None

    def tell_status(self, status: ExitStatus) -> None:
        """Send `status` now, though output may follow: as sshd, which does not wait for it. Clients
        that only want the status go on then."""
        if self._send_state in {"open", "eof_pending", "eof"}:
            self._send_status(status)

    def _send_status(self, status: ExitStatus) -> None:
        if self._told:
            return
        self._told = True
        if status.signal is None:
            self._send_request(b"exit-status", UInt32((status.code or 0) & 0xFF))
        else:
            name = status.signal.encode()
            self._send_request(
                b"exit-signal", String(name), Boolean(status.core_dumped), String(""), String("")
            )

    def _process_request(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        """Take a request, but not without end while an earlier one waits to be let in."""
        wire = cast("SshTransport", self._conn)
        if len(self._request_queue) >= wire.settings.limits.requests_waiting:
            raise Conforming("too many requests wait on one channel")
        super()._process_request(pkttype, pktid, packet)

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        command = packet.get_string()
        packet.check_end()
        return self._start_session(command=os.fsdecode(command))

    def _process_pty_req_request(self, packet: SSHPacket) -> bool:
        """Take a terminal (RFC 4254, 6.2), where asyncssh would end the connection for a TERM that
        is not ASCII or for modes that are cut short; sshd takes what it can read of both."""
        term = packet.get_string().decode(errors="replace")
        width, height = packet.get_uint32(), packet.get_uint32()
        pixels = packet.get_uint32(), packet.get_uint32()
        modes = packet.get_string()
        packet.check_end()
        if self._term_type is not None:
            return False
        if not self._session.pty_requested(term, (width, height, *pixels), read_modes(modes)):
            return False
        self._term_type = term
        return True

    def _process_env_request(self, packet: SSHPacket) -> bool:
        wire = cast("SshTransport", self._conn)
        self._env_bytes += len(packet.get_remaining_payload())
        if self._env_bytes > wire.settings.limits.env_bytes:
            return False
        return super()._process_env_request(packet)

    def _process_eow_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:
        """End of write (OpenSSH PROTOCOL, 2.1): what we send is dropped."""
        packet.check_end()
        if self.on_unread is not None:
            self.on_unread()
        return True

    def drop_output(self) -> None:
        """Nobody reads it: forget what waits. The program's status is still wanted."""
        self._unread = True
        self._forget(stderr=False)

    def _forget(self, *, stderr: bool) -> None:
        kept = [(view, kind) for view, kind in self._pending if kind is not None and not stderr]
        self._pending[:] = kept
        self._send_buf_len: int = sum(len(view) for view, _ in kept)
        self._pause_resume_writing()

    def refuse_input(self) -> None:
        """Tell OpenSSH's client that what it sends is dropped; it then closes its own input."""
        if self._send_state in {"open", "eof_pending", "eof"}:
            self._send_request(b"eow@openssh.com")

    def _process_close(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self._held_close is None and (self._send_state == "eof" or self._unread):
            # Both streams have ended, but not the program: the client still wants its status.
            self._held_close = (pkttype, pktid, packet)
            self.left = True
            self._forget(stderr=True)  # it opens its window no more
            return
        super()._process_close(pkttype, pktid, packet)
        if self.on_client_close is not None:
            self.on_client_close()

    _packet_handlers = {  # noqa: RUF012 - asyncssh's own table, with our method in it
        **TunedChannel._packet_handlers,  # noqa: SLF001
        MSG_CHANNEL_CLOSE: _process_close,
        MSG_CHANNEL_REQUEST: _process_request,
    }


class TCPChannel(TunedChannel, SSHTCPChannel[bytes]):
    """A forwarded TCP connection."""


class UNIXChannel(TunedChannel, SSHUNIXChannel[bytes]):
    """A forwarded Unix socket connection."""
