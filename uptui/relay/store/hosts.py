"""Rows of identities, their bearer credentials and the token routes bound to them."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.protocol.names import Fingerprint
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.store.tables import credentials, identities, token_routes


@dataclass(frozen=True)
class CredentialRecord:
    """A bearer credential; only the digest of its text is known here."""

    identity: Identity
    via: str
    """What admitted it: open, join, keys, or token:ID."""
    expires_at: float


async def saw(connection: AsyncConnection, identity: Identity, now: float) -> None:
    """Remember that an identity proved itself."""
    known = await connection.execute(
        update(identities)
        .where(identities.c.fingerprint == identity.fingerprint)
        .values(last_seen=now, account=identity.account)
    )
    if known.rowcount == 0:
        await connection.execute(
            insert(identities).values(
                fingerprint=identity.fingerprint,
                public_key=identity.public_key,
                account=identity.account,
                first_seen=now,
                last_seen=now,
                blocked=False,
            )
        )


async def is_blocked(connection: AsyncConnection, fingerprint: str) -> bool:
    """Whether the operator shut this identity out."""
    query = select(identities.c.blocked).where(identities.c.fingerprint == fingerprint)
    return bool((await connection.execute(query)).scalar())


async def block(connection: AsyncConnection, fingerprint: str, blocked: bool) -> bool:
    """Shut an identity out, or let it in again; False when it was never seen."""
    done = await connection.execute(
        update(identities).where(identities.c.fingerprint == fingerprint).values(blocked=blocked)
    )
    await connection.execute(delete(credentials).where(credentials.c.fingerprint == fingerprint))
    return done.rowcount > 0


async def add_credential(
    connection: AsyncConnection, digest: str, record: CredentialRecord
) -> None:
    """Keep a credential by the digest of its text."""
    await connection.execute(
        insert(credentials).values(
            digest=digest,
            fingerprint=record.identity.fingerprint,
            public_key=record.identity.public_key,
            account=record.identity.account,
            via=record.via,
            expires_at=record.expires_at,
        )
    )


async def credential(connection: AsyncConnection, digest: str) -> CredentialRecord | None:
    """The credential with this digest, expired or not."""
    row = (
        await connection.execute(select(credentials).where(credentials.c.digest == digest))
    ).first()
    if row is None:
        return None
    token: str | None = row.via.removeprefix("token:") if row.via.startswith("token:") else None
    identity = Identity(Fingerprint(row.fingerprint), row.public_key, row.account, token)
    return CredentialRecord(identity, row.via, row.expires_at)


async def trim_credentials(
    connection: AsyncConnection, fingerprint: str, now: float, keep: int
) -> None:
    """Drop expired credentials, and of one identity all but the `keep` that live longest."""
    await connection.execute(delete(credentials).where(credentials.c.expires_at <= now))
    kept = (
        select(credentials.c.digest)
        .where(credentials.c.fingerprint == fingerprint)
        .order_by(credentials.c.expires_at.desc())
        .limit(keep)
    )
    await connection.execute(
        delete(credentials).where(
            credentials.c.fingerprint == fingerprint,
            credentials.c.digest.not_in(kept.scalar_subquery()),
        )
    )


async def route_owner(connection: AsyncConnection, digest: str) -> str | None:
    """Fingerprint of the identity that a token route is bound to."""
    query = select(token_routes.c.fingerprint).where(token_routes.c.digest == digest)
    return (await connection.execute(query)).scalar()


async def bind_route(
    connection: AsyncConnection, digest: str, fingerprint: str, now: float
) -> None:
    """Bind a token route to its identity, or mark it as used."""
    done = await connection.execute(
        update(token_routes).where(token_routes.c.digest == digest).values(last_used_at=now)
    )
    if done.rowcount == 0:
        await connection.execute(
            insert(token_routes).values(digest=digest, fingerprint=fingerprint, last_used_at=now)
        )


async def touch_routes(
    connection: AsyncConnection, fingerprints: Collection[str], now: float
) -> None:
    """Mark every token route of these identities as used."""
    if fingerprints:
        await connection.execute(
            update(token_routes)
            .where(token_routes.c.fingerprint.in_(list(fingerprints)))
            .values(last_used_at=now)
        )


async def drop_routes(
    connection: AsyncConnection, fingerprint: str, keep: Collection[str]
) -> list[str]:
    """Forget the identity's token routes that are not in `keep`; returns their digests."""
    condition = token_routes.c.fingerprint == fingerprint
    if keep:
        condition &= token_routes.c.digest.not_in(list(keep))
    rows = await connection.execute(select(token_routes.c.digest).where(condition))
    gone = list(rows.scalars())
    if gone:
        await connection.execute(delete(token_routes).where(condition))
    return gone


async def drop_stale_routes(connection: AsyncConnection, unused_since: float) -> list[str]:
    """Forget token routes that nobody published since; returns their digests."""
    condition = token_routes.c.last_used_at <= unused_since
    rows = await connection.execute(select(token_routes.c.digest).where(condition))
    gone = list(rows.scalars())
    if gone:
        await connection.execute(delete(token_routes).where(condition))
    return gone
