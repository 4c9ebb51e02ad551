"""One thread with one SQLite connection, in which whole transactions run.

A statement through an asyncio driver costs two changes of thread, for the cursor and its rows as
well, and each may wait for the other thread to give up the interpreter. When hundreds of hosts come
back at once that is most of their cost; here a transaction changes threads once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import Executable

T = TypeVar("T")
Work = Callable[[AsyncConnection], Coroutine[Any, Any, T]]
"""What a transaction does; it awaits nothing but its connection."""


class _Direct:
    """The part of AsyncConnection that rows are read and written with, never waiting."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        return self._connection.execute(statement, parameters)


class Lane:
    """Transactions one after the other."""

    def __init__(
        self,
        url: URL,
        prepare: Callable[[Any, Any], None],
        begin: Callable[[Connection], None],
        *,
        writes: bool,
    ) -> None:
        """`prepare` and `begin` are told of a new connection and of each transaction."""
        self._engine = create_engine(
            url.set(drivername="sqlite"),
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
        )
        event.listen(self._engine, "connect", prepare)
        event.listen(self._engine, "begin", begin)
        self._writer = self._engine.execution_options(writes=writes)
        self._thread = ThreadPoolExecutor(1, "uptui-store")

    async def run(self, work: Work[T]) -> T:
        """Commits when `work` returns, and rolls back when it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def close(self) -> None:
        """Wait for what is being written, and close the connection."""
        self._thread.shutdown()
        self._engine.dispose()

    def _run(self, work: Work[T]) -> T:
        with self._writer.begin() as connection:
            doing = work(cast("AsyncConnection", _Direct(connection)))
            try:
                doing.send(None)
            except StopIteration as done:
                return cast("T", done.value)
            doing.close()
            raise RuntimeError("a transaction waits for something else than its store")
