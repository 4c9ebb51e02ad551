"""The record on disk: JSON lines, rotated by size, written by a thread that may fail without harm.

Nothing here waits for the disk except `close`: entries go into a bounded queue, and when the disk
is full or gone the newest entries stay in memory and the failure is reported once.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from uptui.core.events import Record
from uptui.core.text import clean
from uptui.protocol.host_api import Level, LogEntry

RING: Final = 2000
"""Newest entries kept in memory."""
SHOWN: Final = 200
"""Newest entries in a snapshot."""
MAX_FILE: Final = 2 * 1024 * 1024
"""Bytes after which a file is rotated."""
MAX_FILES: Final = 5
"""Files kept, the current one included: MAX_FILE * MAX_FILES bytes in all."""
MAX_QUEUE: Final = 5000
"""Entries that may wait for the disk; the oldest are lost beyond that."""
GATHER: Final = 0.05
"""Seconds that entries gather before the disk's thread takes them: each of its turns costs ours."""
PORTION: Final = 64 * 1024
"""Bytes of one write: each takes the interpreter from the event loop once more."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that closing waits for the disk."""
FOLLOW_INTERVAL: Final = 0.2
LEVELS: Final[tuple[Level, ...]] = ("info", "notice", "warning", "error")

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LogEntry)


@dataclass(frozen=True)
class Filter:
    """Which entries are wanted."""

    level: Level = "info"
    """The least level."""
    client: str = ""
    """A client id, a name or a fingerprint; empty is everybody."""

    def matches(self, entry: LogEntry) -> bool:
        if LEVELS.index(entry.level) < LEVELS.index(self.level):
            return False
        return not self.client or self.client in {entry.client_id, entry.name, entry.fingerprint}


class _Files:
    """The current file and its older brothers `.1`, `.2`, ...; used by the writer thread only."""

    def __init__(self, path: Path, max_file: int, max_files: int) -> None:
        self._path = path
        self._max_file = max_file
        self._max_files = max_files
        self._file: int | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        """Append whole lines. Raises OSError."""
        if self._file is None or (self._size and self._size + len(data) > self._max_file):
            self._reopen(rotate=self._file is not None)
        assert self._file is not None
        start = self._size
        while data:
            try:
                written = os.write(self._file, data)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, start)
                self.close()
                raise
            data = data[written:]
            self._size += written

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _reopen(self, *, rotate: bool) -> None:
        self.close()
        if rotate or (self._path.exists() and self._path.stat().st_size >= self._max_file):
            for number in range(self._max_files - 1, 0, -1):
                older = rotated(self._path, number - 1)
                if older.exists():
                    older.replace(rotated(self._path, number))
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        os.fchmod(self._file, 0o600)
        self._size = os.fstat(self._file).st_size


class EventLog:
    """Numbers entries, keeps the newest, and hands all of them to the disk."""

    def __init__(
        self,
        path: Path,
        *,
        max_file: int = MAX_FILE,
        max_files: int = MAX_FILES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.problem = ""
        """Why entries do not reach the disk at the moment; empty while they do."""
        self._clock = clock
        self._ring: deque[LogEntry] = deque(maxlen=RING)
        self._n = 0
        self._reported = ""
        self._lost = 0
        self._files = _Files(path, max_file, max_files)
        self._portion = min(PORTION, max_file)
        self._queue: deque[bytes] = deque()
        self._wake = threading.Condition()
        self._hurry = threading.Event()
        self._closing = False
        self._busy = False
        self._thread = threading.Thread(target=self._write, name="event-log", daemon=True)
        self._thread.start()

    @property
    def newest(self) -> list[LogEntry]:
        """At most SHOWN entries, oldest first."""
        return self.after(0, SHOWN)

    def after(self, n: int, limit: int) -> list[LogEntry]:
        """The newest `limit` of the remembered entries numbered above `n`, oldest first."""
        found: list[LogEntry] = []
        for entry in reversed(self._ring):
            if entry.n <= n or len(found) >= limit:
                break
            found.append(entry)
        return found[::-1]

    def append(self, record: Record) -> LogEntry:
        """Number an entry, remember it, and queue it for the disk. Never blocks, never raises."""
        entry = self._numbered(record)
        line = _encoder.encode(entry) + b"\n"
        with self._wake:
            if len(self._queue) >= MAX_QUEUE:
                self._queue.popleft()
                self._lost += 1
            self._queue.append(line)
            if len(self._queue) == 1:
                self._wake.notify_all()
        return entry

    def check(self) -> LogEntry | None:
        """Report once that the disk fails, and once that it works again; called now and then."""
        problem = self.problem
        if problem == self._reported:
            return None
        self._reported = problem
        if problem:
            text = f"the event log cannot be written: {problem}"
            return self._numbered(Record(self._clock(), "log.failed", clean(text), "warning"))
        with self._wake:
            lost, self._lost = self._lost, 0
        text = f"the event log is written again; {lost} entries were lost"
        return self.append(Record(self._clock(), "log.recovered", text, "notice"))

    def flush(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait until the disk has everything; False when it has not in time."""
        self._hurry.set()
        with self._wake:
            return self._wake.wait_for(lambda: not self._queue and not self._busy, timeout)

    def close(self) -> None:
        """Write what waits, for at most CLOSE_TIMEOUT seconds, and end the thread."""
        self._hurry.set()
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(CLOSE_TIMEOUT)

    def _numbered(self, record: Record) -> LogEntry:
        self._n += 1
        entry = LogEntry(
            n=self._n,
            at=record.at,
            level=record.level,
            event=record.event,
            text=record.text,
            client_id=record.client_id,
            name=record.name,
            fingerprint=record.fingerprint,
            way=record.way,
            data=record.data,
        )
        self._ring.append(entry)
        return entry

    def _write(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    self._files.close()
                    return
                self._busy = True
            self._hurry.wait(GATHER)
            with self._wake:
                self._hurry.clear()
                batch = list(self._queue)
                self._queue.clear()
            for lines in _portions(batch, self._portion):
                if not self._written(lines) and len(lines) > 1:
                    for line in lines:
                        self._written([line])

    def _written(self, lines: list[bytes]) -> bool:
        """Whether they are on disk; a single one that is not is lost."""
        try:
            self._files.write(b"".join(lines))
        except OSError as error:
            self.problem = error.strerror or type(error).__name__
            if len(lines) == 1:
                with self._wake:
                    self._lost += 1
            return False
        self.problem = ""
        return True


def _portions(lines: list[bytes], limit: int) -> Iterator[list[bytes]]:
    """Lines to be written at once, of at most `limit` bytes unless a single one has more."""
    portion: list[bytes] = []
    size = 0
    for line in lines:
        if portion and size + len(line) > limit:
            yield portion
            portion, size = [], 0
        portion.append(line)
        size += len(line)
    if portion:
        yield portion


def rotated(path: Path, number: int) -> Path:
    """The file that was current `number` rotations ago."""
    return path if number == 0 else path.with_name(f"{path.name}.{number}")


def _entries(file: Path) -> Iterator[LogEntry]:
    try:
        stream = file.open("rb")
    except OSError:
        return
    with stream:
        for line in stream:
            with contextlib.suppress(msgspec.DecodeError, UnicodeError):
                yield _decoder.decode(line)


def read_back(path: Path, limit: int | None, wanted: Filter | None = None) -> list[LogEntry]:
    """The newest `limit` entries on disk that match (None: all), oldest first.

    Damaged lines are skipped.
    """
    wanted = wanted or Filter()
    kept: deque[LogEntry] = deque(maxlen=limit)
    for number in range(MAX_FILES * 4, -1, -1):
        kept.extend(entry for entry in _entries(rotated(path, number)) if wanted.matches(entry))
    return list(kept)


async def follow(
    path: Path, wanted: Filter | None = None, interval: float = FOLLOW_INTERVAL
) -> AsyncGenerator[LogEntry]:
    """Entries written from now on, through rotations; never ends by itself."""
    wanted = wanted or Filter()
    tail = _Tail(path)
    while True:
        for entry in tail.read():
            if wanted.matches(entry):
                yield entry
        await asyncio.sleep(interval)


class _Tail:
    """Reads what was appended to a file since the last look, also across rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = self._now()
        self._rest = b""

    def read(self) -> list[LogEntry]:
        inode, size = self._now()
        data = b""
        if inode != self._inode:
            older = rotated(self._path, 1)
            if self._inode is not None and _inode(older) == self._inode:
                data = self._from(older, self._offset)
            self._inode, self._offset = inode, 0
        elif size < self._offset:
            self._offset = 0
        fresh = self._from(self._path, self._offset)
        self._offset += len(fresh)
        lines = (self._rest + data + fresh).split(b"\n")
        self._rest = lines.pop()
        entries: list[LogEntry] = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError, UnicodeError):
                entries.append(_decoder.decode(line))
        return entries

    def _now(self) -> tuple[int | None, int]:
        try:
            status = self._path.stat()
        except OSError:
            return None, 0
        return status.st_ino, status.st_size

    @staticmethod
    def _from(path: Path, offset: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(MAX_FILE * 2)
        except OSError:
            return b""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
