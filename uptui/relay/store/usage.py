"""Rows of what each owner moved through the relay, by month (UTC)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.relay.store.tables import usage


@dataclass(frozen=True)
class Usage:
    """Bytes from clients to hosts (received), back (sent), and streams opened."""

    received: int = 0
    sent: int = 0
    streams: int = 0


def month_of(now: float) -> str:
    """The month that `now` counts for, such as 2026-11."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


async def add(connection: AsyncConnection, subject: str, month: str, more: Usage) -> None:
    """Add to a subject's figures."""
    done = await connection.execute(
        update(usage)
        .where(usage.c.subject == subject, usage.c.month == month)
        .values(
            received=usage.c.received + more.received,
            sent=usage.c.sent + more.sent,
            streams=usage.c.streams + more.streams,
        )
    )
    if done.rowcount == 0:
        await connection.execute(
            insert(usage).values(
                subject=subject,
                month=month,
                received=more.received,
                sent=more.sent,
                streams=more.streams,
            )
        )


async def of(connection: AsyncConnection, subject: str, month: str) -> Usage:
    """A subject's figures of one month."""
    query = select(usage).where(usage.c.subject == subject, usage.c.month == month)
    row = (await connection.execute(query)).first()
    return Usage() if row is None else Usage(row.received, row.sent, row.streams)


async def forget_before(connection: AsyncConnection, month: str) -> None:
    """Drop figures of older months."""
    await connection.execute(delete(usage).where(usage.c.month < month))
