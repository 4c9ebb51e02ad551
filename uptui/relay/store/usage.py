"""Rows of what each owner moved through the relay, by month (UTC)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.relay.store.tables import usage

MOST: Final = 2**63 - 1
"""The largest number that a database has a place for."""


@dataclass(frozen=True)
class Usage:
    """Bytes from clients to hosts (received), back (sent), and streams opened."""

    received: int = 0
    sent: int = 0
    streams: int = 0


def month_of(now: float) -> str:
    """The month that `now` counts for, such as 2026-11."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


async def add(connection: AsyncConnection, month: str, more: Mapping[str, Usage]) -> None:
    """Add to the figures of subjects, all of them by one statement."""
    if not more:
        return
    on_postgresql = connection.dialect.name == "postgresql"
    new = postgresql.insert(usage) if on_postgresql else sqlite.insert(usage)
    sums = {name: usage.c[name] + new.excluded[name] for name in ("received", "sent", "streams")}
    await connection.execute(
        new.on_conflict_do_update(index_elements=["subject", "month"], set_=sums),
        [{"subject": subject, "month": month, **asdict(it)} for subject, it in more.items()],
    )


async def of(connection: AsyncConnection, subject: str, month: str) -> Usage:
    """A subject's figures of one month."""
    query = select(usage).where(usage.c.subject == subject, usage.c.month == month)
    row = (await connection.execute(query)).first()
    return Usage() if row is None else Usage(row.received, row.sent, row.streams)


async def moved_at_least(connection: AsyncConnection, month: str, size: int) -> dict[str, int]:
    """Bytes, both ways together, of the subjects that have moved so many or more."""
    moved = usage.c.received + usage.c.sent
    within = usage.c.month == month, moved >= min(size, MOST)
    query = select(usage.c.subject, moved).where(*within)
    return {row[0]: row[1] for row in await connection.execute(query)}


async def forget_before(connection: AsyncConnection, month: str) -> None:
    """Drop figures of older months."""
    await connection.execute(delete(usage).where(usage.c.month < month))
