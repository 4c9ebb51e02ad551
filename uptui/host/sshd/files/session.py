"""An SFTP session on an SSH channel: packets in, replies out, in order, with back-pressure.

Requests run on the event loop as long as the file system answers at once, because a thread costs
more than a cached read or write; whatever may wait (cold reads, directories, fsync, a file system
that has just been slow) runs in a thread while this session, and only this session, waits.
"""

import asyncio
import contextlib
import errno
import os
import time
from typing import Final, Protocol

from uptui.core.traffic import ByteCounter
from uptui.host.sshd.files import codec, extensions
from uptui.host.sshd.files.codec import Kind, Reader, Status
from uptui.host.sshd.files.handlers import Files, failure
from uptui.host.sshd.files.handles import OpenFile
from uptui.host.sshd.files.replies import Reply, Work
from uptui.host.sshd.files.request_queue import RequestQueue
from uptui.host.sshd.files.workers import ClientQueue

TURN: Final = 0.004
"""Seconds of requests before other connections get their turn."""
SLOW: Final = 0.02
"""Two requests longer than this within SLOW_FOR make the session use threads for as long: one may
be the machine that was busy."""
SLOW_FOR: Final = 5.0
BROKEN: Final = 255
"""Exit status after packets that are not SFTP, as sftp-server's."""

_READ: Final = int(Kind.READ)  # an enumeration's members take longer to reach
_EXTENDED: Final = int(Kind.EXTENDED)
_READDIR: Final = int(Kind.READDIR)
_MAY_WAIT: Final = (_EXTENDED, _READDIR)
_ALWAYS_SLOW: Final = (b"fsync@openssh.com", b"users-groups-by-id@openssh.com")
"""Waits for a disk, or for thousands of lookups that may go to a network."""
_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS)
"""Of a file system without RWF_NOWAIT."""
_ODD_FILE: Final = (errno.EINVAL, errno.ESPIPE)
"""Of a file to which that does not apply, such as a pipe."""
_scratch = memoryview(bytearray(codec.DATA_HEAD + codec.MAX_READ))
"""A reply of file content is made here, within one callback of the loop."""


class SftpChannel(Protocol):
    """The part of asyncssh.SSHServerChannel that a session uses."""

    @property
    def outbox(self) -> contextlib.AbstractContextManager[None]:
        """Within it, what is written leaves together."""
        ...

    def write(self, data: bytes) -> None: ...
    def write_stderr(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def exit(self, status: int) -> None: ...


class SftpSession:
    """Feed it what the channel delivers; it answers on the channel and ends it with status 0."""

    def __init__(
        self, channel: SftpChannel, files: Files, counter: ByteCounter, share: ClientQueue
    ) -> None:
        """`share`: the client's threads."""
        self._channel = channel
        self._counter = counter
        self._files = files
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._requests = RequestQueue()
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
        if idle and self._requests.empty and self._served_alone(data):
            return
        self._requests.add(data)
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
        self._requests.clear()
        if not self._busy:
            self._close_files()

    def _close_files(self) -> None:
        self._files.drop("interrupted")
        self._files.audit.settle()

    def _resume(self) -> None:
        if not (self._busy or self._blocked or self._ended):
            self._work()

    def _work(self) -> None:
        """Serve whole packets until there are none, the channel is full, or the turn is over."""
        try:
            if self._serve_one() and not self._requests.empty:
                with self._channel.outbox:
                    self._serve_rest()
        except codec.WireError:
            self._finish(BROKEN)
            return
        if self._files.audit.unsettled and not self._settling:
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
        self._files.audit.settle()

    def _served_alone(self, data: bytes) -> bool:
        """Serve what is exactly one packet where it lies: who waits for each answer sends such."""
        begins = codec.whole(data)
        if begins is None or not self._greeted:
            return False
        try:
            self._dispatch(*begins, Reader(memoryview(data), codec.LENGTH_SIZE + codec.KIND_SIZE))
        except codec.WireError:
            self._finish(BROKEN)
        else:
            if self._files.audit.unsettled and not self._busy:
                self._files.audit.settle()  # the reply has left
        return True

    def _serve_rest(self) -> None:
        deadline = time.monotonic() + TURN
        while self._serve_one():
            if not self._busy and time.monotonic() > deadline:
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
        packet = self._requests.packet()
        if packet is None:
            return False
        kind, number = codec.kind_and_request(packet)
        self._dispatch(kind, number, Reader(packet, codec.KIND_SIZE))
        if not self._ended:
            self._requests.drop(len(packet))
        return True

    def _dispatch(self, kind: int, number: int, reader: Reader) -> None:
        if not self._greeted:
            if kind != Kind.INIT or number < codec.VERSION:
                raise codec.WireError("SFTP session without a version 3 greeting")
            self._greeted = True
            self._reply(codec.version_packet(extensions.OFFERED))
        elif kind == _READ:
            self._read(number, reader)
        elif (self._slow_until or kind in _MAY_WAIT) and self._may_wait(kind, reader):
            self._in_thread(kind, number, reader.rest())
        else:
            started = time.monotonic()
            reply = self._files.handle(kind, number, reader)
            done = time.monotonic()
            self._answer(number, reply)
            if done - started > SLOW:
                self._note_pace(started, done)

    def _may_wait(self, kind: int, reader: Reader) -> bool:
        if self._slow_until > time.monotonic():
            return True
        if kind not in _MAY_WAIT:
            return False
        first = reader.string_at(reader.at)
        if kind == _READDIR:
            opened = self._files.handles.directory(first)
            return opened is not None and not opened.over
        return first in _ALWAYS_SLOW

    def _note_pace(self, started: float, done: float) -> None:
        if done - started > SLOW:
            if done - self._slow_at < SLOW_FOR:
                self._slow_until = done + SLOW_FOR
            self._slow_at = done

    def _in_thread(self, kind: int, number: int, payload: bytes) -> None:
        def work() -> Reply:
            started = time.monotonic()
            reply = self._files.handle(kind, number, Reader(memoryview(payload)))
            self._note_pace(started, time.monotonic())
            return reply

        self._start(number, work)

    def _answer(self, number: int, reply: Reply) -> None:
        """Send it, or do in threads what is still to be done for it."""
        if isinstance(reply, bytes):
            self._reply(reply)
        else:
            self._start(number, lambda: self._files.go_on(number, reply), bulk=True)

    def _start(self, number: int, work: Work, *, bulk: bool = False) -> None:
        self._busy = True
        self._channel.pause_reading()
        future = self._share.run(work, bulk=bulk)
        future.add_done_callback(lambda done: self._thread_done(number, done))

    def _thread_done(self, number: int, future: "asyncio.Future[Reply]") -> None:
        self._busy = False
        self._files.audit.settle()
        if self._ended:
            future.exception()
            self._close_files()
            return
        try:
            self._answer(number, future.result())
        except codec.WireError:
            self._finish(BROKEN)
            return
        except OSError as error:
            self._reply(failure(number, error))
        if not (self._busy or self._blocked):
            self._work()

    def _reply(self, data: bytes) -> None:
        self._channel.write(data)
        self._counter.count_sent(len(data))

    def _read(self, number: int, reader: Reader) -> None:
        handle = reader.string()
        offset, size = reader.offset_and_size()
        size = min(size, codec.MAX_READ)
        try:
            opened = self._files.readable(handle)
            done = self._read_cached(opened, offset, size)
        except OSError as error:
            self._reply(failure(number, error))
            return
        except OverflowError:  # past the end of any file that there can be
            self._reply(codec.status_packet(number, Status.BAD_MESSAGE))
            return
        if done is None:
            self._start(number, lambda: self._read_slowly(number, opened, offset, size))
        elif size and not done:
            self._reply(codec.status_packet(number, Status.EOF))
        else:
            _scratch[: codec.DATA_HEAD] = codec.data_head(number, done)
            self._reply(bytes(_scratch[: codec.DATA_HEAD + done]))
            self._files.count_read(opened, done)
            if opened.transfer is not None:
                opened.transfer.show()

    def _read_cached(self, opened: OpenFile, offset: int, size: int) -> int | None:
        """Read what the page cache holds into the scratch; None when that would wait for the disk.

        A file system that cannot say so is read at once.
        """
        target = _scratch[codec.DATA_HEAD : codec.DATA_HEAD + size]
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
            return codec.status_packet(number, Status.EOF)
        self._files.count_read(opened, len(data))
        return codec.data_head(number, len(data)) + data
