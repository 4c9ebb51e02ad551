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
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

import msgspec

from uptui.core.events import Record
from uptui.host.storage.folding import Folding, Repeats
from uptui.protocol.host_api import Level, LogEntry
from uptui.text import clean

BULK: Final = ("file.", "forward.", "session.", "key.")
"""Events that a client or a stranger causes at any rate: kept apart, so as not to push people's
acts (joins, approvals, roles, kicks, invites, settings) out."""
RING: Final = 2000
"""Newest entries kept in memory, of acts and of bulk each."""
SHOWN: Final = 200
"""Newest entries in a snapshot."""
MAX_FILE: Final = 2 * 1024 * 1024
"""Bytes after which a file is rotated."""
MAX_FILES: Final = 5
"""Files kept, the current one included: MAX_FILE * MAX_FILES bytes, for acts and for bulk each."""
MAX_QUEUE: Final = 5000
"""Entries of each kind that may wait for the disk; the oldest are lost beyond that."""
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
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` dates entries and may be set; `steady` only goes on and ends windows."""
        self.path = path
        self.problem = ""
        """Why entries do not reach the disk at the moment; empty while they do."""
        self._clock = clock
        self._steady = steady
        self._folding = Folding()
        self._rings: tuple[deque[LogEntry], ...] = (deque(maxlen=RING), deque(maxlen=RING))
        self._n = 0
        self._reported = ""
        self._lost = 0
        self._files = tuple(_Files(each, max_file, max_files) for each in (path, bulk_path(path)))
        self._portion = min(PORTION, max_file)
        self._queues: tuple[deque[bytes], ...] = (deque(), deque())
        self._wake = threading.Condition()
        self._hurry = threading.Event()
        self._closing = False
        self._busy = False
        self._thread = threading.Thread(target=self._write, name="event-log", daemon=True)
        self._thread.start()

    @property
    def newest(self) -> list[LogEntry]:
        """At most SHOWN entries, oldest first, with what is counted at the moment."""
        return self._halved(0, SHOWN, self.counted)

    @property
    def counted(self) -> list[LogEntry]:
        """Repeats that are still counted, an entry for each series; they come to disk later."""
        return [_folded(series) for series in self._folding.open()]

    def after(self, n: int, limit: int) -> list[LogEntry]:
        """Newest of the remembered entries numbered above `n`, oldest first, at most `limit`.

        Repeats are there once their window is over.
        """
        return self._halved(n, limit, [])

    def _halved(self, n: int, limit: int, counted: list[LogEntry]) -> list[LogEntry]:
        """Acts and bulk have half of the places each, and what the other leaves free."""
        commands, bulk = (
            _merged(
                _newer(ring, n, limit),
                [entry for entry in counted if _is_bulk(entry.event) == is_bulk],
                limit,
            )
            for is_bulk, ring in enumerate(self._rings)
        )
        bulk = bulk[max(0, len(bulk) - max(limit - len(commands), limit // 2)) :]
        commands = commands[max(0, len(commands) - (limit - len(bulk))) :]
        return sorted(commands + bulk, key=lambda entry: entry.n)

    def append(self, record: Record) -> None:
        """Number an entry, remember it, and queue it for the disk; a repeat is only counted.

        Never blocks, never raises.
        """
        n = self._next()
        if not self._folding.counts(record, self._steady(), n):
            self._queue(self._remembered(_entry(record, n)))

    def _queue(self, entry: LogEntry) -> None:
        line = _encoder.encode(entry) + b"\n"
        queue = self._queues[_is_bulk(entry.event)]
        with self._wake:
            if len(queue) >= MAX_QUEUE:
                queue.popleft()
                self._lost += 1
            queue.append(line)
            if len(queue) == 1:
                self._wake.notify_all()

    def _settle(self, ended: list[Repeats]) -> None:
        """Make an entry of each series that is over."""
        for series in ended:
            series.n = self._next()
            self._queue(self._remembered(_folded(series)))

    def check(self) -> LogEntry | None:
        """Write repeats whose window is over; report once that the disk fails, and once that it
        works again. Called now and then."""
        self._settle(self._folding.over(self._steady()))
        problem = self.problem
        if problem == self._reported:
            return None
        self._reported = problem
        if problem:
            text = f"the event log cannot be written: {problem}"
            failed = Record(self._clock(), "log.failed", clean(text), "warning")
            return self._remembered(_entry(failed, self._next()))
        with self._wake:
            lost, self._lost = self._lost, 0
        text = f"the event log is written again; {lost} entries were lost"
        recovered = Record(self._clock(), "log.recovered", text, "notice")
        entry = self._remembered(_entry(recovered, self._next()))
        self._queue(entry)
        return entry

    def flush(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait until the disk has everything; False when it has not in time."""
        self._hurry.set()
        with self._wake:
            return self._wake.wait_for(lambda: not any(self._queues) and not self._busy, timeout)

    def close(self) -> None:
        """Write what waits, for at most CLOSE_TIMEOUT seconds, and end the thread."""
        self._settle(self._folding.over(float("inf")))
        self._hurry.set()
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(CLOSE_TIMEOUT)

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _remembered(self, entry: LogEntry) -> LogEntry:
        self._rings[_is_bulk(entry.event)].append(entry)
        return entry

    def _write(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                self._wake.wait_for(lambda: any(self._queues) or self._closing)
                if not any(self._queues):
                    for files in self._files:
                        files.close()
                    return
                self._busy = True
            self._hurry.wait(GATHER)
            with self._wake:
                self._hurry.clear()
                batches = [list(queue) for queue in self._queues]
                for queue in self._queues:
                    queue.clear()
            for files, batch in zip(self._files, batches, strict=True):
                self._write_batch(files, batch)

    def _write_batch(self, files: _Files, batch: list[bytes]) -> None:
        for lines in _portions(batch, self._portion):
            if not self._written(files, lines) and len(lines) > 1:
                for line in lines:
                    self._written(files, [line])

    def _written(self, files: _Files, lines: list[bytes]) -> bool:
        """Whether they are on disk; a single one that is not is lost."""
        try:
            files.write(b"".join(lines))
        except OSError as error:
            self.problem = error.strerror or type(error).__name__
            if len(lines) == 1:
                with self._wake:
                    self._lost += 1
            return False
        self.problem = ""
        return True


def _entry(record: Record, n: int) -> LogEntry:
    return LogEntry(
        n=n,
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


def _folded(series: Repeats) -> LogEntry:
    """The entry of a series' repeats."""
    entry = _entry(series.folded, series.n)
    return msgspec.structs.replace(entry, count=series.count, since=series.since)


def _merged(entries: list[LogEntry], counted: list[LogEntry], limit: int) -> list[LogEntry]:
    """The newest `limit` of both, oldest first."""
    both = sorted(entries + counted, key=lambda entry: entry.n) if counted else entries
    return both[max(0, len(both) - limit) :]


def _is_bulk(event: str) -> bool:
    return event.startswith(BULK)


def _newer(ring: deque[LogEntry], n: int, limit: int) -> list[LogEntry]:
    """The newest `limit` of a ring's entries numbered above `n`, oldest first."""
    return list(islice(takewhile(lambda entry: entry.n > n, reversed(ring)), limit))[::-1]


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


def bulk_path(path: Path) -> Path:
    """Where the bulk of the record at `path` is."""
    return path.with_name(f"{path.stem}-bulk{path.suffix}")


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
    kept: list[LogEntry] = []
    for each in (path, bulk_path(path)):
        newest: deque[LogEntry] = deque(maxlen=limit)
        for number in range(MAX_FILES * 4, -1, -1):
            found = _entries(rotated(each, number))
            newest.extend(entry for entry in found if wanted.matches(entry))
        kept += newest
    kept.sort(key=lambda entry: entry.at)
    return kept if limit is None else kept[max(0, len(kept) - limit) :]


async def follow(
    path: Path, wanted: Filter | None = None, interval: float = FOLLOW_INTERVAL
) -> AsyncGenerator[LogEntry]:
    """Entries written from now on, through rotations; never ends by itself."""
    wanted = wanted or Filter()
    tails = [_Tail(each) for each in (path, bulk_path(path))]
    while True:
        entries = [entry for tail in tails for entry in tail.read() if wanted.matches(entry)]
        for entry in sorted(entries, key=lambda entry: entry.at):
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
