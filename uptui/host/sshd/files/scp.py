"""The far end of `scp -O` without an scp binary: rcp's protocol over a channel, within a RootedFs.

The protocol has no specification; this follows OpenSSH's scp.c (sink and source).
"""

import asyncio
import errno
import logging
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from uptui.core.roles import Capability
from uptui.core.traffic import ByteCounter
from uptui.errors import ProtocolError
from uptui.host.sshd.files import wildcards
from uptui.host.sshd.files.handlers import PERMISSION_BITS, RefusedRequestError
from uptui.host.sshd.files.handles import OpenDirectory
from uptui.host.sshd.files.rooted_fs import RootedFs
from uptui.host.sshd.files.scp_command import ScpCommand
from uptui.host.sshd.files.scp_lines import Complaint, End, Entry, LineError, Times, parse, written
from uptui.host.sshd.files.shell_words import Word, braces, text
from uptui.host.sshd.files.transfers import (
    FileAccess,
    FileChange,
    RunningTransfer,
    note_failure,
    printable,
)
from uptui.host.sshd.files.workers import ClientQueue

PIECE: Final = 128 * 1024
"""Bytes of a file moved at once."""
MAX_LINE: Final = 64 * 1024
INPUT_HIGH: Final = 1024 * 1024
"""Bytes waiting to be written to a file before the client is slowed."""
MAX_DEPTH: Final = 200
NAMES: Final = 1000
"""Names of a directory read at once."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class AccessChangedError(ProtocolError):
    """The client's role sees other files now."""

    def __init__(self) -> None:
        super().__init__("access has changed")


class ScpChannel(Protocol):
    """The part of asyncssh.SSHServerChannel that is used."""

    def write(self, data: bytes) -> None: ...
    def write_stderr(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def exit(self, status: int) -> None: ...


class Stream:
    """The channel as something to await: lines and blocks in, bytes out, both bounded."""

    def __init__(self, channel: ScpChannel, counter: ByteCounter) -> None:
        self._channel = channel
        self._counter = counter
        self._input = bytearray()
        self._eof = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._input += data
        if len(self._input) > INPUT_HIGH:
            self._channel.pause_reading()
        self._arrived.set()

    def eof_received(self) -> None:
        self._eof = True
        self._arrived.set()

    def writable(self, *, yes: bool) -> None:
        if yes:
            self._writable.set()
        else:
            self._writable.clear()

    async def _more(self) -> None:
        if self._eof:
            raise ProtocolError("the client's scp ended early")
        self._arrived.clear()
        self._channel.resume_reading()
        await self._arrived.wait()

    def _take(self, size: int) -> bytes:
        data = bytes(self._input[:size])
        del self._input[:size]
        return data

    async def line(self) -> bytes | None:
        """The next line without its end; None at the end of the input."""
        while b"\n" not in self._input:
            if len(self._input) > MAX_LINE:
                raise LineError("protocol error: control line too long")
            if self._eof and not self._input:
                return None
            await self._more()
        return self._take(self._input.index(b"\n") + 1)[:-1]

    async def block(self, most: int) -> bytes:
        """Between 1 and `most` bytes."""
        while not self._input:
            await self._more()
        return self._take(most)

    async def send(self, data: bytes) -> None:
        await self._writable.wait()
        self._counter.count_sent(len(data))
        self._channel.write(data)

    async def confirmed(self) -> bool:
        """Whether the other end took the last message; a fatal answer raises."""
        code = await self.block(1)
        if code == b"\0":
            return True
        text = await self.line()
        if code != b"\1":
            raise ProtocolError(printable(text or b"the client's scp gave up"))
        return False


class ScpSession:
    """Serves one `scp -t` or `scp -f`; a services.Subsystem."""

    def __init__(
        self,
        command: ScpCommand,
        channel: ScpChannel,
        counter: ByteCounter,
        access: FileAccess,
        tree: RootedFs,
        share: ClientQueue,
    ) -> None:
        """`share`: the client's threads."""
        self._command = command
        self._channel = channel
        self._access = access
        self._tree = tree
        self._share = share
        self._stream = Stream(channel, counter)
        self._failed = False
        self._task = asyncio.get_running_loop().create_task(self._run())
        self.data_received = self._stream.data_received
        self.eof_received = self._stream.eof_received

    def pause_writing(self) -> None:
        self._stream.writable(yes=False)

    def resume_writing(self) -> None:
        self._stream.writable(yes=True)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._task.cancel()

    async def _run(self) -> None:
        try:
            if self._command.sink:
                await self._receive_into(await self._target())
            elif await self._stream.confirmed():
                await self._send_all()
        except (ProtocolError, OSError) as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the channel ends
            _log.exception("scp failed")
            self._give_up(error)
        self._channel.exit(1 if self._failed else 0)

    def _give_up(self, error: Exception) -> None:
        """Tell why nothing more is moved, where the client's scp reads it: an answer after a line,
        standard error while contents move."""
        self._failed = True
        why = error.strerror if isinstance(error, OSError) else None
        words = f"scp: {printable(why or str(error))}".encode()
        if self._command.sink and not isinstance(error, AccessChangedError):
            self._channel.write(written(Complaint(True, words)))
        else:
            self._channel.write_stderr(words + b"\n")

    async def _complain(self, path: bytes, error: OSError) -> None:
        self._failed = True
        words = f"scp: {printable(path)}: {error.strerror or error}"
        await self._stream.send(written(Complaint(False, words.encode())))

    async def _cannot(self, path: bytes, error: OSError) -> None:
        """Nothing of `path` was moved: record it too."""
        note_failure(self._access, printable(path), error)
        await self._complain(path, error)

    def _need(self, capability: Capability) -> None:
        """Raise unless the live grant allows it, AccessChangedError when it is for other files."""
        role = self._access.role
        if role.files_root != self._tree.root:
            raise AccessChangedError
        if not role.can(capability):
            raise RefusedRequestError(capability)

    def _meant(
        self, words: Sequence[Word], found: Callable[[RootedFs, Word], list[bytes]]
    ) -> list[bytes]:
        """The paths that a shell would make of them. Raises OSError."""
        return [path for word in words for one in braces(word) for path in found(self._tree, one)]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Its result; when this session ends, not before the work: it uses open files."""
        running = self._share.run(work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    # scp -t: files come to us

    async def _target(self) -> bytes:
        """The one place for all. Raises OSError, ProtocolError."""
        look = self._access.role.can(Capability.READ)
        found = wildcards.paths if look else wildcards.unmatched_only
        paths = await self._in_thread(partial(self._meant, self._command.words, found))
        if len(paths) != 1:
            raise ProtocolError("ambiguous target")
        return paths[0]

    async def _receive_into(self, path: bytes) -> None:
        into = self._is_directory(path)
        if self._command.directory and not into:
            await self._complain(
                path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            )
            return
        await self._stream.send(b"\0")
        await self._receive(path, 0, into=into)

    def _is_directory(self, path: bytes) -> bool:
        try:
            with self._tree.at(path) as place:
                st = os.stat(place.name, dir_fd=place.fd, follow_symlinks=place.follow)
        except OSError:
            return False
        return stat.S_ISDIR(st.st_mode)

    async def _receive(self, path: bytes, depth: int, *, into: bool) -> None:
        times: Times | None = None
        while (line := await self._stream.line()) is not None:
            said = parse(line)
            if isinstance(said, End):
                await self._stream.send(b"\0")
                return
            if isinstance(said, Times):
                times = said
                await self._stream.send(b"\0")
            elif isinstance(said, Complaint):
                self._failed = True
                if said.fatal:
                    return
            else:
                target = os.path.join(path, said.name) if into else path
                if said.directory:
                    await self._receive_directory(target, said.mode, depth, times)
                else:
                    await self._receive_file(target, said, times)
                times = None

    async def _receive_directory(
        self, target: bytes, mode: int, depth: int, times: Times | None
    ) -> None:
        if not self._command.recursive or depth > MAX_DEPTH:
            raise LineError("protocol error: received directory without -r, or nested too deep")
        try:
            self._need(Capability.WRITE)
            if not self._is_directory(target):
                with self._tree.at(target, follow=False) as place:
                    os.mkdir(place.name, mode | stat.S_IRWXU, dir_fd=place.fd)
                    FileChange("made directory", printable(place.real)).note(self._access)
        except OSError as error:
            await self._cannot(target, error)
            return
        await self._stream.send(b"\0")
        await self._receive(target, depth + 1, into=True)
        if times is not None:
            self._need(Capability.WRITE)
            with self._tree.at(target) as place:
                os.utime(place.name, times.both, dir_fd=place.fd, follow_symlinks=place.follow)

    async def _receive_file(self, target: bytes, entry: Entry, times: Times | None) -> None:
        size = entry.size
        try:
            self._need(Capability.WRITE)
            self._share.held.need_room(1)
            fd, shown = self._open(target, os.O_WRONLY | os.O_CREAT, entry.mode)
        except OSError as error:
            await self._cannot(target, error)
            return
        running = RunningTransfer(self._access, shown, "upload")
        problem: OSError | None = None
        try:
            await self._stream.send(b"\0")
            with self._share.held.room(1):
                problem = await self._fill(fd, size, running)
            if problem is None:
                problem = self._finish_file(fd, entry, times)
        except AccessChangedError as error:
            problem = OSError(errno.EACCES, str(error))
            raise
        finally:
            os.close(fd)
            complete = running.bytes == size
            words = (problem.strerror or "failed") if problem else "" if complete else "interrupted"
            running.finish(words)
        await self._stream.block(1)
        if problem is None:
            await self._stream.send(b"\0")
        else:
            await self._complain(target, problem)

    async def _fill(self, fd: int, size: int, running: RunningTransfer) -> OSError | None:
        """Take `size` bytes whatever happens; write them until the first failure."""
        problem: OSError | None = None
        left = size
        while left:
            data = await self._stream.block(min(left, PIECE))
            left -= len(data)
            if problem is not None:
                continue
            try:
                self._need(Capability.WRITE)
                await self._in_thread(partial(_write_all, fd, data))
                running.count(len(data))
                running.show()
            except OSError as error:
                problem = error
        return problem

    def _finish_file(self, fd: int, entry: Entry, times: Times | None) -> OSError | None:
        try:
            self._need(Capability.WRITE)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, entry.size)
                if self._command.preserve:
                    os.fchmod(fd, entry.mode)
            if times is not None:
                os.utime(fd, times.both)
        except OSError as error:
            return error
        return None

    def _open(self, path: bytes, flags: int, mode: int = 0o666) -> tuple[int, str]:
        with self._tree.at(path) as place:
            nofollow = 0 if place.follow else os.O_NOFOLLOW
            flags |= nofollow | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            return os.open(place.name, flags, mode, dir_fd=place.fd), printable(place.real)

    # scp -f: files go to the client

    async def _send_all(self) -> None:
        self._need(Capability.READ)
        for word in self._command.words:
            try:
                paths = await self._in_thread(partial(self._meant, (word,), wildcards.paths))
            except OSError as error:
                await self._cannot(os.fsencode(text(word)), error)
                continue
            for path in paths:
                await self._send(path, 0)

    async def _send(self, path: bytes, depth: int) -> None:
        try:
            self._need(Capability.READ)
            self._share.held.need_room(1)
            fd, shown = self._open(path, os.O_RDONLY)
        except OSError as error:
            await self._cannot(path, error)
            return
        try:
            with self._share.held.room(1):
                await self._send_opened(path, fd, shown, depth)
        finally:
            os.close(fd)

    async def _send_opened(self, path: bytes, fd: int, shown: str, depth: int) -> None:
        st = os.fstat(fd)
        if stat.S_ISREG(st.st_mode):
            await self._send_file(path, fd, st, shown)
        elif stat.S_ISDIR(st.st_mode) and self._command.recursive and depth <= MAX_DEPTH:
            await self._send_directory(path, fd, st, depth)
        else:
            await self._complain(path, OSError(errno.EINVAL, "not a regular file"))

    async def _announce(self, path: bytes, st: os.stat_result) -> bool:
        if self._command.preserve:
            await self._stream.send(written(Times(int(st.st_atime), int(st.st_mtime))))
            if not await self._stream.confirmed():
                return False
        directory = stat.S_ISDIR(st.st_mode)
        name = os.path.basename(path.rstrip(b"/")) or b"/"
        mode = stat.S_IMODE(st.st_mode) & PERMISSION_BITS
        size = 0 if directory else st.st_size
        await self._stream.send(written(Entry(directory, mode, size, name)))
        return await self._stream.confirmed()

    async def _send_file(self, path: bytes, fd: int, st: os.stat_result, shown: str) -> None:
        if not await self._announce(path, st):
            self._failed = True
            return
        running = RunningTransfer(self._access, shown, "download")
        problem: OSError | None = None
        try:
            left = st.st_size
            while left:
                size = min(left, PIECE)
                try:
                    self._need(Capability.READ)
                    data = await self._in_thread(partial(os.read, fd, size))
                except OSError as error:
                    data, problem = b"", error
                if not data:
                    problem = problem or OSError(errno.EIO, "file shrank")
                    data = bytes(size)
                left -= len(data)
                await self._stream.send(data)
                running.count(len(data))
                running.show()
        except AccessChangedError as error:
            problem = OSError(errno.EACCES, str(error))
            raise
        finally:
            complete = running.bytes == st.st_size
            words = (problem.strerror or "failed") if problem else "" if complete else "interrupted"
            running.finish(words)
        if problem is None:
            await self._stream.send(b"\0")
        else:
            await self._complain(path, problem)
        await self._stream.confirmed()

    async def _send_directory(self, path: bytes, fd: int, st: os.stat_result, depth: int) -> None:
        if not await self._announce(path, st):
            self._failed = True
            return
        opened = OpenDirectory(os.dup(fd))
        try:
            with self._share.held.room(opened.descriptors):
                while names := await self._in_thread(partial(_names, opened)):
                    for name in names:
                        await self._send(os.path.join(path, name), depth + 1)
        finally:
            opened.close()
        await self._stream.send(written(End()))
        await self._stream.confirmed()


def _names(directory: OpenDirectory) -> list[bytes]:
    """Some more of its names, none at its end."""
    names: list[bytes] = []
    while len(names) < NAMES and not directory.over:
        name = directory.name()
        if name is not None and name not in {b".", b".."}:
            names.append(name)
    return names


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
