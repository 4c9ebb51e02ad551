"""Opening the store: one SQLite file in WAL mode, or a PostgreSQL server.

Writers take turns on both (an immediate transaction on SQLite, an advisory lock on PostgreSQL), so
that a decision made inside a write transaction still holds when it commits. Errors of the database
become StateError naming the file or the server.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from uptui.errors import ConfigError, StateError
from uptui.relay.store.lane import Lane, Work

BUSY_TIMEOUT_MS: Final = 5_000
POOL_SIZE: Final = 5
POOL_TIMEOUT: Final = 10.0
"""Seconds that a call waits for a database connection."""
WRITE_LOCK: Final = 0x7570747569
"""PostgreSQL advisory lock that writers of one relay database take in turns."""
FULL: Final = 64 * 1024
"""Bytes free below which a disk counts as full: twice what SQLite's shared file grows by."""

T = TypeVar("T")

_POSTGRES = {"postgresql", "postgres", "postgresql+asyncpg"}


class Database:
    """A pool of connections to one database."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.path = Path(url.database or "") if self.is_sqlite else None
        self._engine = _engine(url)
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._writer = self._engine.execution_options(writes=True)
        self._turn = asyncio.Lock()
        self._reading = self._lane(writes=False) if self.is_sqlite else None
        self._writing = self._lane(writes=True) if self.is_sqlite else None

    def _lane(self, *, writes: bool) -> Lane:
        return Lane(self.url, _prepare_sqlite, _begin_sqlite, writes=writes)

    @property
    def place(self) -> str:
        """What an error names: the file, or the server without its password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection whose statements see one state."""
        with self._translated():
            async with self._engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that commits on success; no other writer runs meanwhile.

        Ours wait in a line: those that SQLite makes wait sleep and look again, in no order.
        """
        with self._translated():
            async with self._turn, self._writer.begin() as connection:
                if not self.is_sqlite:
                    await connection.execute(
                        text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITE_LOCK}
                    )
                yield connection

    async def reading(self, work: Work[T]) -> T:
        """Like `read`, for what hosts do when all come back: much cheaper on SQLite. `work` awaits
        nothing but the connection that it gets."""
        if self._reading is None:
            async with self.read() as connection:
                return await work(connection)
        with self._translated():
            return await self._reading.run(work)

    async def writing(self, work: Work[T]) -> T:
        """Like `write`, as `reading` is like `read`."""
        if self._writing is None:
            async with self.write() as connection:
                return await work(connection)
        with self._translated():
            async with self._turn:
                return await self._writing.run(work)

    async def prepare(self) -> None:
        """Create the file of a SQLite database as 0600; PostgreSQL needs nothing."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            problem = f"cannot open the relay's database: {error.strerror}"
            raise StateError(self.path, problem) from error

    async def close(self) -> None:
        """Give all connections back."""
        for lane in (self._reading, self._writing):
            if lane is not None:
                await asyncio.to_thread(lane.close)
        await self._engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StateError(self.place, self._in_words(error)) from error
        except SQLAlchemyError as error:
            raise StateError(self.place, f"the relay's database failed: {error}") from error
        except OSError as error:
            problem = f"the relay's database cannot be reached: {error}"
            raise StateError(self.place, problem) from error

    def _in_words(self, error: DBAPIError) -> str:
        cause = str(error.orig)
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "malformed" in cause.lower():
            return _damage(cause)
        if code == sqlite3.SQLITE_READONLY:
            return "the relay's database cannot be written: read-only file or disk"
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._is_disk_full()):
            return "the relay's database cannot be written: the disk is full; make room there"
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return "the relay's database is locked by another process"
        return f"the relay's database failed: {cause}"

    def _is_disk_full(self) -> bool:
        """SQLite calls it an I/O error when the file shared by its readers cannot grow."""
        if self.path is None:
            return False
        try:
            return shutil.disk_usage(self.path.parent).free < FULL
        except OSError:
            return False


def parse_database(text_url: str) -> URL:
    """Read `--database`: a file path, `sqlite:///file` or `postgresql://...`."""
    if "://" not in text_url:
        return URL.create("sqlite+aiosqlite", database=str(Path(text_url).expanduser()))
    try:
        url = make_url(text_url)
    except ArgumentError as error:
        raise ConfigError("--database", "not a database URL") from error
    if url.drivername in {"sqlite", "sqlite+aiosqlite"} and url.database:
        return url.set(drivername="sqlite+aiosqlite")
    if url.drivername in _POSTGRES:
        _require_asyncpg()
        return url.set(drivername="postgresql+asyncpg")
    raise ConfigError("--database", f"{url.drivername}: give a file, sqlite:/// or postgresql://")


def _require_asyncpg() -> None:
    if importlib.util.find_spec("asyncpg") is None:
        raise ConfigError("--database", "PostgreSQL needs the extra: pip install 'uptui[postgres]'")


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        return create_async_engine(url, pool_size=POOL_SIZE, pool_timeout=POOL_TIMEOUT)
    return create_async_engine(
        url, pool_size=POOL_SIZE, pool_timeout=POOL_TIMEOUT, pool_pre_ping=True
    )


def _prepare_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    try:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:
        connection.close()  # the pool does not know it yet
        raise


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def damaged(place: str, cause: str) -> StateError:
    """What to raise for a file whose content cannot be trusted."""
    return StateError(place, _damage(cause.splitlines()[-1]))


def _damage(cause: str) -> str:
    return (
        f"the relay's database is damaged ({cause}); put a backup back with "
        "`uptui relay restore FILE --database DATABASE`"
    )
