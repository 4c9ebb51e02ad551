"""Which direct port belongs to which route; a freed port rests as long as others are available."""

import hashlib
import random
from collections.abc import Collection

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.protocol.names import is_invite, is_token
from uptui.relay.accounts.port_limits import Holder, PortLimits
from uptui.relay.store.tables import ports


def route_key(name: str) -> str:
    """How the store calls a route: secrets (tokens, invites) only by their digest."""
    if is_token(name) or is_invite(name):
        return hashlib.sha256(name.encode()).hexdigest()
    return name


async def of(connection: AsyncConnection, names: Collection[str]) -> dict[str, int]:
    """The remembered port of each of `names` that has one."""
    keys = {route_key(name): name for name in names}
    rows = await connection.execute(
        select(ports.c.route, ports.c.port).where(ports.c.route.in_(list(keys)))
    )
    return {keys[row.route]: row.port for row in rows}


async def held(connection: AsyncConnection, name: str, holder: Holder) -> int | None:
    """The port that the store already knows to be this holder's for `name`."""
    mine = (ports.c.route == route_key(name)) & (ports.c.owner == holder.owner)
    query = select(ports.c.port).where(mine & (ports.c.source == holder.source))
    return (await connection.execute(query)).scalar_one_or_none()


async def assign(
    connection: AsyncConnection,
    name: str,
    holder: Holder,
    limits: PortLimits,
    span: range,
    avoid: Collection[int],
    now: float,
) -> int | None:
    """The port of `name`, remembered from now on; None when every port of `span` is taken.

    Raises PortQuotaError for a holder that has enough others.

    A port in `avoid` (somebody else listens there) is never chosen, even if it was the route's own.
    """
    rows = (await connection.execute(select(ports))).all()
    key = route_key(name)
    mine = next((row.port for row in rows if row.route == key), None)
    limits.check(
        holder, [(row.owner, row.source) for row in rows if row.route and row.route != key]
    )
    whose = {"owner": holder.owner, "source": holder.source}
    if mine is not None and mine in span and mine not in avoid:
        await connection.execute(update(ports).where(ports.c.port == mine).values(whose))
        return mine
    known = {row.port for row in rows}
    fresh = [port for port in span if port not in known and port not in avoid]
    rested = sorted(
        (row.freed_at, row.port)
        for row in rows
        if row.route is None and row.port in span and row.port not in avoid
    )
    if not fresh and not rested:
        return None
    port = random.choice(fresh) if fresh else rested[0][1]  # noqa: S311 - spreads, hides nothing
    await free(connection, [name], now)
    await connection.execute(delete(ports).where(ports.c.port == port))
    await connection.execute(insert(ports).values(port=port, route=key, freed_at=None, **whose))
    return port


async def free(connection: AsyncConnection, names: Collection[str], now: float) -> None:
    """Take the ports of `names` away from them."""
    await free_keys(connection, [route_key(name) for name in names], now)


async def free_keys(connection: AsyncConnection, keys: Collection[str], now: float) -> None:
    """Like `free`, for names as the store calls them."""
    if keys:
        await connection.execute(
            update(ports)
            .where(ports.c.route.in_(list(keys)))
            .values(route=None, freed_at=now, owner=None, source=None)
        )


async def owned(connection: AsyncConnection) -> set[int]:
    """All ports that belong to some route."""
    rows = await connection.execute(select(ports.c.port).where(ports.c.route.is_not(None)))
    return set(rows.scalars())
