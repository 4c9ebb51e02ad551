"""Backup and restore as JSON lines, the same for SQLite and PostgreSQL, so also a way to move.

The first line is a header; each further line is one row. Secrets are in it only as digests, but
it names every identity and alias: keep it private.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

from sqlalchemy import Table, select

from uptui.errors import StateError
from uptui.relay.store.engine import Database
from uptui.relay.store.migrate import HEAD
from uptui.relay.store.tables import metadata

FORMAT: Final = "uptui-relay-backup"
MAX_LINE: Final = 64 * 1024
BATCH: Final = 500


async def dump(database: Database) -> AsyncIterator[bytes]:
    """The lines of a backup, all from one moment."""
    yield _line({"format": FORMAT, "revision": HEAD})
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.stream(select(table))).mappings()
            async for row in rows:
                yield _line({"table": table.name, "row": dict(row)})
    yield _line({"end": True})


async def restore(database: Database, lines: AsyncIterable[bytes]) -> dict[str, int]:
    """Replace everything by a backup; returns rows by table.

    All or nothing: on any problem the store stays as it was and StateError names the line.
    """
    async with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(table.delete())
        counts: dict[str, int] = {table.name: 0 for table in metadata.sorted_tables}
        ended = False
        batch: list[dict[str, Any]] = []
        current: Table | None = None
        number = 0
        async for line in lines:
            number += 1
            entry = _entry(line, number)
            if number == 1:
                _check_header(entry)
                continue
            ended = bool(entry.get("end"))
            table = None if ended else _table(entry, number)
            if batch and current is not None and (table is not current or len(batch) >= BATCH):
                await connection.execute(current.insert(), batch)
                batch = []
            if table is not None:
                current = table
                batch.append(_row(table, entry, number))
                counts[table.name] += 1
        if not ended:
            raise StateError("backup", f"cut off after line {number}; nothing was restored")
    return counts


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _entry(line: bytes, number: int) -> dict[str, Any]:
    try:
        entry: Any = json.loads(line)
    except ValueError as error:
        raise StateError("backup", f"line {number} is not JSON; nothing was restored") from error
    if not isinstance(entry, dict):
        raise StateError("backup", f"line {number} is not an object; nothing was restored")
    return entry  # pyright: ignore[reportUnknownVariableType]


def _check_header(entry: dict[str, Any]) -> None:
    if entry.get("format") != FORMAT:
        raise StateError("backup", "not a backup of a uptui relay; nothing was restored")
    revision = str(entry.get("revision"))
    if revision != HEAD:
        raise StateError(
            "backup",
            f"made by revision {revision}, this uptui reads {HEAD}; nothing was restored",
        )


def _table(entry: dict[str, Any], number: int) -> Table:
    table = metadata.tables.get(str(entry.get("table")))
    if table is None:
        raise StateError("backup", f"line {number} names no known table; nothing was restored")
    return table


def _row(table: Table, entry: dict[str, Any], number: int) -> dict[str, Any]:
    row: Any = entry.get("row")
    if not isinstance(row, dict) or set(row) != set(table.columns.keys()):  # pyright: ignore[reportUnknownArgumentType]
        raise StateError("backup", f"line {number} has the wrong columns; nothing was restored")
    return row  # pyright: ignore[reportUnknownVariableType]
