"""An SFTP session on an SSH channel: packets in, replies out, in order, with back-pressure.

Requests run on the event loop as long as the file system answers at once, because a thread costs
more than a cached read or write; whatever may wait (cold reads, fsync, a file system that has just
been slow) runs in a thread while this session, and only this session, waits.
"""

import asyncio
import contextlib
import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from uptui.host.ssh.sftp import extensions, wire
from uptui.host.ssh.sftp.handlers import Files, failure
from uptui.host.ssh.sftp.handles import OpenFile
from uptui.host.ssh.sftp.inbox import Inbox
from uptui.host.ssh.sftp.wire import Kind, Reader, Status

TURN: Final = 0.004
"""Seconds of requests before other connections get their turn."""
SLOW: Final = 0.02
"""Two requests longer than this within SLOW_FOR make the session use threads for as long: one may
be the machine that was busy."""
SLOW_FOR: Final = 5.0
BROKEN: Final = 255
"""Exit status after packets that are not SFTP, as sftp-server's."""
WORKERS: Final = 16
"""Threads for slow file systems, shared by all sessions."""

_READ: Final = int(Kind.READ)  # an enumeration's members take longer to reach
_EXTENDED: Final = int(Kind.EXTENDED)
_ALWAYS_SLOW: Final = (b"fsync@openssh.com", b"copy-data")
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS)
"""Of a file system without RWF_NOWAIT."""
_ODD_FILE: Final = (errno.EINVAL, errno.ESPIPE)
"""Of a file to which that does not apply, such as a pipe."""
_workers = ThreadPoolExecutor(WORKERS, "files")
_scratch = memoryview(bytearray(wire.DATA_HEAD + wire.MAX_READ))
"""A reply of file content is made here, within one callback of the loop."""


class Channel(Protocol):
    """The part of asyncssh.SSHServerChannel that a session uses."""

    @property
    def outbox(self) -> contextlib.AbstractContextManager[None]:
        """Within it, what is written leaves together."""
        ...

    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def exit(self, status: int) -> None: ...


class Counter(Protocol):
    """Where bytes sent are counted; connection.ChannelRecord is one."""

    def count_sent(self, size: int) -> None: ...


class SftpSession:
    """Feed it what the channel delivers; it answers on the channel and ends it with status 0."""

    def __init__(self, channel: Channel, files: Files, counter: Counter) -> None:
        self._channel = channel
        self._counter = counter
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._greeted = False
        self._blocked = False
        """The channel takes no more for now."""
        self._busy = False
        """A request runs in a thread, or the rest of a turn is scheduled."""
        self._eof = False
        self._ended = False
        self._settling = False
        self._slow_at = 0.0
        self._slow_until = 0.0

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._ended:
            return
        idle = not (self._busy or self._blocked)
        if idle and self._inbox.empty and self._served_alone(data):
            return
        self._inbox.add(data)
        if idle:
            self._work()

    def eof_received(self) -> None:
        """The client sends no more: answer what is left, then exit 0."""
        self._eof = True
        if not (self._busy or self._blocked):
            self._work()

    def pause_writing(self) -> None:
        """The client does not read its replies fast enough."""
        self._blocked = True
        self._channel.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._blocked = False
        if not (self._busy or self._ended):
            self._loop.call_soon(self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone: close everything."""
        del exc
        self._ended = True
        self._inbox.clear()
        if not self._busy:
            self._close_files()

    def _close_files(self) -> None:
        self._files.drop("interrupted")
        self._files.ledger.settle()

    def _resume(self) -> None:
        if not (self._busy or self._blocked or self._ended):
            self._work()

    def _work(self) -> None:
        """Serve whole packets until there are none, the channel is full, or the turn is over."""
        try:
            if self._serve_one() and not self._inbox.empty:
                with self._channel.outbox:
                    self._serve_rest()
        except wire.WireError:
            self._finish(BROKEN)
            return
        if self._files.ledger.unsettled and not self._settling:
            self._settling = True
            self._loop.call_soon(self._settle)
        if self._busy or self._blocked or self._ended:
            return
        if self._eof:
            self._finish(0)
        else:
            self._channel.resume_reading()

    def _settle(self) -> None:
        """Keep the books once the replies have left: the client need not wait for that."""
        self._settling = False
        self._files.ledger.settle()

    def _served_alone(self, data: bytes) -> bool:
        """Serve what is exactly one packet where it lies: who waits for each answer sends such."""
        begins = wire.whole(data)
        if begins is None or not self._greeted:
            return False
        try:
            self._dispatch(*begins, Reader(memoryview(data), wire.LENGTH_SIZE + wire.KIND_SIZE))
        except wire.WireError:
            self._finish(BROKEN)
        else:
            if self._files.ledger.unsettled and not self._busy:
                self._files.ledger.settle()  # the reply has left
        return True

    def _serve_rest(self) -> None:
        deadline = time.monotonic() + TURN
        while self._serve_one():
            if time.monotonic() > deadline:
                self._busy = True
                self._channel.pause_reading()
                self._loop.call_soon(self._next_turn)
                return

    def _next_turn(self) -> None:
        self._busy = False
        if self._ended:
            self._close_files()
        elif not self._blocked:
            self._work()

    def _finish(self, status: int) -> None:
        self._ended = True
        self._close_files()
        self._channel.exit(status)

    def _serve_one(self) -> bool:
        """Serve the first packet of the input; False when there is none or it must wait."""
        if self._busy or self._blocked or self._ended:
            return False
        packet = self._inbox.packet()
        if packet is None:
            return False
        kind, number = wire.kind_and_request(packet)
        self._dispatch(kind, number, Reader(packet, wire.KIND_SIZE))
        if not self._ended:
            self._inbox.drop(len(packet))
        return True

    def _dispatch(self, kind: int, number: int, reader: Reader) -> None:
        if not self._greeted:
            if kind != Kind.INIT or number < wire.VERSION:
                raise wire.WireError("SFTP session without a version 3 greeting")
            self._greeted = True
            self._reply(wire.version_packet(extensions.OFFERED))
        elif kind == _READ:
            self._read(number, reader)
        elif (self._slow_until or kind == _EXTENDED) and self._may_wait(kind, reader):
            self._in_thread(kind, number, reader.rest())
        else:
            started = time.monotonic()
            reply = self._files.handle(kind, number, reader)
            done = time.monotonic()
            self._reply(reply)
            if done - started > SLOW:
                self._note_pace(started, done)

    def _may_wait(self, kind: int, reader: Reader) -> bool:
        if self._slow_until > time.monotonic():
            return True
        return kind == _EXTENDED and reader.string_at(reader.at) in _ALWAYS_SLOW

    def _note_pace(self, started: float, done: float) -> None:
        if done - started > SLOW:
            if done - self._slow_at < SLOW_FOR:
                self._slow_until = done + SLOW_FOR
            self._slow_at = done

    def _in_thread(self, kind: int, number: int, payload: bytes) -> None:
        def work() -> bytes:
            started = time.monotonic()
            reply = self._files.handle(kind, number, Reader(memoryview(payload)))
            self._note_pace(started, time.monotonic())
            return reply

        self._start(work)

    def _start(self, work: "_Work") -> None:
        self._busy = True
        self._channel.pause_reading()
        future = self._loop.run_in_executor(_workers, work)
        future.add_done_callback(self._thread_done)

    def _thread_done(self, future: "asyncio.Future[bytes]") -> None:
        self._busy = False
        self._files.ledger.settle()
        if self._ended:
            future.exception()
            self._close_files()
            return
        try:
            self._reply(future.result())
        except wire.WireError:
            self._finish(BROKEN)
            return
        if not self._blocked:
            self._work()

    def _reply(self, data: bytes) -> None:
        self._channel.write(data)
        self._counter.count_sent(len(data))

    def _read(self, number: int, reader: Reader) -> None:
        handle = reader.string()
        offset, size = reader.offset_and_size()
        size = min(size, wire.MAX_READ)
        try:
            opened = self._files.readable(handle)
            done = self._read_cached(opened, offset, size)
        except OSError as error:
            self._reply(failure(number, error))
            return
        except OverflowError:  # past the end of any file that there can be
            self._reply(wire.status_packet(number, Status.BAD_MESSAGE))
            return
        if done is None:
            self._start(lambda: self._read_slowly(number, opened, offset, size))
        elif size and not done:
            self._reply(wire.status_packet(number, Status.EOF))
        else:
            _scratch[: wire.DATA_HEAD] = wire.data_head(number, done)
            self._reply(bytes(_scratch[: wire.DATA_HEAD + done]))
            self._files.count_read(opened, done)
            if opened.transfer is not None:
                opened.transfer.show()

    def _read_cached(self, opened: OpenFile, offset: int, size: int) -> int | None:
        """Read what the page cache holds into the scratch; None when that would wait for the disk.

        A file system that cannot say so is read at once.
        """
        target = _scratch[wire.DATA_HEAD : wire.DATA_HEAD + size]
        if opened.nowait and _NOWAIT:
            try:
                return os.preadv(opened.fd, [target], offset, _NOWAIT)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return None
                if error.errno in _UNSUPPORTED:
                    self._files.always_waits(opened)
                elif error.errno in _ODD_FILE:
                    opened.nowait = False
                else:
                    raise
        if hasattr(os, "preadv"):
            return os.preadv(opened.fd, [target], offset)
        data = os.pread(opened.fd, size, offset)  # macOS
        target[: len(data)] = data
        return len(data)

    def _read_slowly(self, number: int, opened: OpenFile, offset: int, size: int) -> bytes:
        try:
            data = os.pread(opened.fd, size, offset)
        except OSError as error:
            return failure(number, error)
        if not data:
            return wire.status_packet(number, Status.EOF)
        self._files.count_read(opened, len(data))
        return wire.data_head(number, len(data)) + data


class _Work(Protocol):
    def __call__(self) -> bytes: ...
