"""The far end of `scp -O` without an scp binary: rcp's protocol over a channel, within a Tree.

The protocol has no specification; this follows OpenSSH's scp.c (sink and source).
"""

import asyncio
import os
import shlex
import stat
from dataclasses import dataclass
from typing import Final, Protocol

from uptui.core.roles import Capability
from uptui.errors import ProtocolError
from uptui.host.ssh.sftp.handlers import PERMISSION_BITS, RefusedRequestError
from uptui.host.ssh.sftp.tree import Tree
from uptui.host.ssh.transfers import Access, Change, Running, note_failure, printable

PIECE: Final = 128 * 1024
"""Bytes of a file moved at once."""
MAX_LINE: Final = 64 * 1024
INPUT_HIGH: Final = 1024 * 1024
"""Bytes waiting to be written to a file before the client is slowed."""
MAX_DEPTH: Final = 200


@dataclass(frozen=True)
class ScpCommand:
    """What the client's scp asks this end to do."""

    sink: bool
    path: bytes
    recursive: bool = False
    preserve: bool = False
    directory: bool = False


def parse(command: str) -> ScpCommand | None:
    """The command when it is scp's own remote end and nothing else, or None."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if len(words) < 3 or words[0] != "scp":
        return None
    flags = ""
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] != "--":
        flags += rest.pop(0)[1:]
    if rest and rest[0] == "--":
        rest.pop(0)
    if len(rest) != 1 or not set(flags) <= set("tfrpdvq") or ("t" in flags) == ("f" in flags):
        return None
    return ScpCommand("t" in flags, os.fsencode(rest[0]), "r" in flags, "p" in flags, "d" in flags)


class Channel(Protocol):
    """The part of asyncssh.SSHServerChannel that is used."""

    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def exit(self, status: int) -> None: ...


class Counter(Protocol):
    """Where bytes sent are counted."""

    def count_sent(self, size: int) -> None: ...


class Stream:
    """The channel as something to await: lines and blocks in, bytes out, both bounded."""

    def __init__(self, channel: Channel, counter: Counter) -> None:
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
                raise ProtocolError("scp control line too long")
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
        self, command: ScpCommand, channel: Channel, counter: Counter, access: Access, tree: Tree
    ) -> None:
        self._command = command
        self._channel = channel
        self._access = access
        self._tree = tree
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
            path = self._tree.expand(self._command.path)
            if self._command.sink:
                await self._receive_into(path)
            elif await self._stream.confirmed():
                await self._send(path, 0)
        except (ProtocolError, OSError):
            self._failed = True
        self._channel.exit(1 if self._failed else 0)

    async def _complain(self, path: bytes, error: OSError) -> None:
        self._failed = True
        words = f"scp: {printable(path)}: {error.strerror or error}"
        await self._stream.send(b"\1" + words.encode() + b"\n")

    async def _cannot(self, path: bytes, error: OSError) -> None:
        """Nothing of `path` was moved: record it too."""
        note_failure(self._access, printable(path), error)
        await self._complain(path, error)

    def _need(self, capability: Capability) -> None:
        if not self._access.role.can(capability):
            raise RefusedRequestError(capability)

    # scp -t: files come to us

    async def _receive_into(self, path: bytes) -> None:
        into = self._is_directory(path)
        if self._command.directory and not into:
            await self._complain(path, NotADirectoryError(20, os.strerror(20)))
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
        times: tuple[int, int] | None = None
        while (line := await self._stream.line()) is not None:
            kind, rest = line[:1], line[1:]
            if kind == b"E":
                await self._stream.send(b"\0")
                return
            if kind == b"T":
                times = _times(rest)
                await self._stream.send(b"\0")
            elif kind in {b"C", b"D"}:
                mode, size, name = _entry(rest)
                target = os.path.join(path, name) if into else path
                if kind == b"C":
                    await self._receive_file(target, mode, size, times)
                else:
                    await self._receive_directory(target, mode, depth, times)
                times = None
            elif kind in {b"\1", b"\2"}:
                self._failed = True
                if kind == b"\2":
                    return
            else:
                raise ProtocolError("unexpected scp message")

    async def _receive_directory(
        self, target: bytes, mode: int, depth: int, times: tuple[int, int] | None
    ) -> None:
        if not self._command.recursive or depth > MAX_DEPTH:
            raise ProtocolError("a directory was not expected")
        try:
            self._need(Capability.WRITE)
            if not self._is_directory(target):
                with self._tree.at(target, follow=False) as place:
                    os.mkdir(place.name, mode | stat.S_IRWXU, dir_fd=place.fd)
                    Change("made directory", printable(place.real)).note(self._access)
        except OSError as error:
            await self._cannot(target, error)
            return
        await self._stream.send(b"\0")
        await self._receive(target, depth + 1, into=True)
        if times is not None:
            with self._tree.at(target) as place:
                os.utime(place.name, times, dir_fd=place.fd, follow_symlinks=place.follow)

    async def _receive_file(
        self, target: bytes, mode: int, size: int, times: tuple[int, int] | None
    ) -> None:
        try:
            self._need(Capability.WRITE)
            fd, shown = self._open(target, os.O_WRONLY | os.O_CREAT, mode)
        except OSError as error:
            await self._cannot(target, error)
            return
        running = Running(self._access, shown, "upload")
        problem: OSError | None = None
        try:
            await self._stream.send(b"\0")
            problem = await self._fill(fd, size, running)
            if problem is None:
                problem = self._finish_file(fd, size, mode, times)
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

    async def _fill(self, fd: int, size: int, running: Running) -> OSError | None:
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
                await asyncio.to_thread(_write_all, fd, data)
                running.count(len(data))
                running.show()
            except OSError as error:
                problem = error
        return problem

    def _finish_file(
        self, fd: int, size: int, mode: int, times: tuple[int, int] | None
    ) -> OSError | None:
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, size)
                if self._command.preserve:
                    os.fchmod(fd, mode)
            if times is not None:
                os.utime(fd, times)
        except OSError as error:
            return error
        return None

    def _open(self, path: bytes, flags: int, mode: int = 0o666) -> tuple[int, str]:
        with self._tree.at(path) as place:
            nofollow = 0 if place.follow else os.O_NOFOLLOW
            flags |= nofollow | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            return os.open(place.name, flags, mode, dir_fd=place.fd), printable(place.real)

    # scp -f: files go to the client

    async def _send(self, path: bytes, depth: int) -> None:
        try:
            self._need(Capability.READ)
            fd, shown = self._open(path, os.O_RDONLY)
        except OSError as error:
            await self._cannot(path, error)
            return
        try:
            st = os.fstat(fd)
            if stat.S_ISREG(st.st_mode):
                await self._send_file(path, fd, st, shown)
            elif stat.S_ISDIR(st.st_mode) and self._command.recursive and depth <= MAX_DEPTH:
                await self._send_directory(path, fd, st, depth)
            else:
                await self._complain(path, OSError(22, "not a regular file"))
        finally:
            os.close(fd)

    async def _announce(self, kind: bytes, path: bytes, st: os.stat_result, size: int) -> bool:
        if self._command.preserve:
            times = f"T{int(st.st_mtime)} 0 {int(st.st_atime)} 0\n"
            await self._stream.send(times.encode())
            if not await self._stream.confirmed():
                return False
        name = os.path.basename(path.rstrip(b"/")) or b"/"
        mode = stat.S_IMODE(st.st_mode) & PERMISSION_BITS
        escaped = name.replace(b"\n", b"\\^J")
        await self._stream.send(b"%s%04o %d %s\n" % (kind, mode, size, escaped))
        return await self._stream.confirmed()

    async def _send_file(self, path: bytes, fd: int, st: os.stat_result, shown: str) -> None:
        if not await self._announce(b"C", path, st, st.st_size):
            self._failed = True
            return
        running = Running(self._access, shown, "download")
        problem: OSError | None = None
        try:
            left = st.st_size
            while left:
                try:
                    data = await asyncio.to_thread(os.read, fd, min(left, PIECE))
                except OSError as error:
                    data, problem = b"", error
                if not data:
                    problem = problem or OSError(5, "file shrank")
                    data = bytes(min(left, PIECE))
                left -= len(data)
                await self._stream.send(data)
                running.count(len(data))
                running.show()
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
        names = sorted(os.fsencode(name) for name in os.listdir(fd))
        if not await self._announce(b"D", path, st, 0):
            self._failed = True
            return
        for name in names:
            await self._send(os.path.join(path, name), depth + 1)
        await self._stream.send(b"E\n")
        await self._stream.confirmed()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _times(rest: bytes) -> tuple[int, int]:
    """Access and modification time of a T line."""
    try:
        modified, _, accessed, _ = (int(word) for word in rest.split())
    except ValueError:
        raise ProtocolError("bad scp time line") from None
    return accessed, modified


def _entry(rest: bytes) -> tuple[int, int, bytes]:
    """Mode, size and name of a C or D line; a name that is a path is refused."""
    mode, _, rest = rest.partition(b" ")
    size, _, name = rest.partition(b" ")
    if not name or b"/" in name or name in {b".", b".."} or b"\0" in name:
        raise ProtocolError("bad scp file name")
    try:
        return int(mode, 8) & PERMISSION_BITS, int(size), name
    except ValueError:
        raise ProtocolError("bad scp entry") from None
