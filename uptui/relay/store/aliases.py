"""Rows of persistent names."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.relay.accounts.alias_rules import AliasRecord
from uptui.relay.store.tables import aliases, ports

_joined = select(aliases, ports.c.port).select_from(
    aliases.outerjoin(ports, ports.c.route == aliases.c.name)
)


def _record(row: Row[Any]) -> AliasRecord:
    return AliasRecord(
        row.name, row.owner, row.host_key, row.created_at, row.last_used_at, row.port
    )


async def get(connection: AsyncConnection, name: str) -> AliasRecord | None:
    """One alias, expired or not."""
    row = (await connection.execute(_joined.where(aliases.c.name == name))).first()
    return None if row is None else _record(row)


async def page(
    connection: AsyncConnection, owner: str | None, after: str, limit: int
) -> list[AliasRecord]:
    """At most `limit` aliases by name, after the name `after`; of one owner, or of everybody."""
    query: Select[Any] = _joined.where(aliases.c.name > after)
    if owner is not None:
        query = query.where(aliases.c.owner == owner)
    rows = await connection.execute(query.order_by(aliases.c.name).limit(limit))
    return [_record(row) for row in rows]


async def count(connection: AsyncConnection, owner: str, used_since: float) -> int:
    """How many unexpired aliases `owner` has."""
    query = (
        select(func.count())
        .select_from(aliases)
        .where(aliases.c.owner == owner, aliases.c.last_used_at > used_since)
    )
    return (await connection.execute(query)).scalar_one()


async def put(connection: AsyncConnection, record: AliasRecord) -> None:
    """Insert, or replace the alias of that name; its port is not touched."""
    values = {
        "owner": record.owner,
        "host_key": record.host_key,
        "created_at": record.created_at,
        "last_used_at": record.last_used_at,
    }
    done = await connection.execute(
        update(aliases).where(aliases.c.name == record.name).values(values)
    )
    if done.rowcount == 0:
        await connection.execute(insert(aliases).values(name=record.name, **values))


async def remove(connection: AsyncConnection, name: str) -> None:
    """Forget the alias; its port must be freed by the caller."""
    await connection.execute(delete(aliases).where(aliases.c.name == name))


async def touch(connection: AsyncConnection, names: Sequence[str], now: float) -> None:
    """Mark the aliases as used."""
    if names:
        await connection.execute(
            update(aliases).where(aliases.c.name.in_(names)).values(last_used_at=now)
        )


async def taken(connection: AsyncConnection, names: Iterable[str]) -> set[str]:
    """Those of `names` that have a row."""
    rows = await connection.execute(select(aliases.c.name).where(aliases.c.name.in_(list(names))))
    return set(rows.scalars())
