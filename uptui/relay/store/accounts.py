"""Rows of accounts and of API tokens; a token is known only by the digest of its text."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.relay.store.tables import accounts, api_tokens, credentials, identities


@dataclass(frozen=True)
class AccountRecord:
    """A party that may host; a None quota means the relay's default."""

    name: str
    created_at: float
    disabled: bool = False
    max_sessions: int | None = None
    max_aliases: int | None = None
    max_bytes_per_month: int | None = None


@dataclass(frozen=True)
class TokenRecord:
    """An API token without its secret."""

    id: str
    account: str | None
    scopes: frozenset[str]
    label: str
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def _account(row: Row[Any]) -> AccountRecord:
    return AccountRecord(
        row.name,
        row.created_at,
        bool(row.disabled),
        row.max_sessions,
        row.max_aliases,
        row.max_bytes_per_month,
    )


def _token(row: Row[Any]) -> TokenRecord:
    return TokenRecord(
        row.id,
        row.account,
        frozenset(row.scopes.split()),
        row.label,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
    )


async def get(connection: AsyncConnection, name: str) -> AccountRecord | None:
    """One account."""
    row = (await connection.execute(select(accounts).where(accounts.c.name == name))).first()
    return None if row is None else _account(row)


async def page(connection: AsyncConnection, after: str, limit: int) -> list[AccountRecord]:
    """At most `limit` accounts by name, after the name `after`."""
    query = select(accounts).where(accounts.c.name > after).order_by(accounts.c.name).limit(limit)
    return [_account(row) for row in await connection.execute(query)]


async def limited_in_bytes(connection: AsyncConnection) -> dict[str, AccountRecord]:
    """The accounts, by name, that have a limit of their own to what they move in a month."""
    query = select(accounts).where(accounts.c.max_bytes_per_month.is_not(None))
    return {row.name: _account(row) for row in await connection.execute(query)}


async def put(connection: AsyncConnection, record: AccountRecord) -> None:
    """Insert or replace an account."""
    values = {
        "created_at": record.created_at,
        "disabled": record.disabled,
        "max_sessions": record.max_sessions,
        "max_aliases": record.max_aliases,
        "max_bytes_per_month": record.max_bytes_per_month,
    }
    done = await connection.execute(
        update(accounts).where(accounts.c.name == record.name).values(values)
    )
    if done.rowcount == 0:
        await connection.execute(insert(accounts).values(name=record.name, **values))


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Delete an account with its tokens and credentials; False when there is none."""
    await connection.execute(delete(credentials).where(credentials.c.account == name))
    await connection.execute(delete(api_tokens).where(api_tokens.c.account == name))
    await connection.execute(
        update(identities).where(identities.c.account == name).values(account=None)
    )
    done = await connection.execute(delete(accounts).where(accounts.c.name == name))
    return done.rowcount > 0


async def add_token(connection: AsyncConnection, digest: str, record: TokenRecord) -> None:
    """Keep a new token."""
    await connection.execute(
        insert(api_tokens).values(
            id=record.id,
            digest=digest,
            account=record.account,
            scopes=" ".join(sorted(record.scopes)),
            label=record.label,
            created_at=record.created_at,
            expires_at=record.expires_at,
        )
    )


async def token_by_digest(connection: AsyncConnection, digest: str) -> TokenRecord | None:
    """The token with this digest, valid or not."""
    row = (
        await connection.execute(select(api_tokens).where(api_tokens.c.digest == digest))
    ).first()
    return None if row is None else _token(row)


async def token_by_id(connection: AsyncConnection, token_id: str) -> TokenRecord | None:
    """The token with this id, valid or not."""
    row = (await connection.execute(select(api_tokens).where(api_tokens.c.id == token_id))).first()
    return None if row is None else _token(row)


async def token_page(
    connection: AsyncConnection, account: str | None, after: str, limit: int
) -> list[TokenRecord]:
    """At most `limit` tokens by id, after the id `after`; of one account, or all."""
    query = select(api_tokens).where(api_tokens.c.id > after)
    if account is not None:
        query = query.where(api_tokens.c.account == account)
    rows = await connection.execute(query.order_by(api_tokens.c.id).limit(limit))
    return [_token(row) for row in rows]


async def revoke_token(connection: AsyncConnection, token_id: str, now: float) -> None:
    """Make a token, and every credential that it admitted, worthless; twice is harmless."""
    await connection.execute(
        update(api_tokens)
        .where(api_tokens.c.id == token_id, api_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    await connection.execute(delete(credentials).where(credentials.c.via == f"token:{token_id}"))


async def revoke_labelled(connection: AsyncConnection, labels: Collection[str], now: float) -> None:
    """Revoke every token that carries one of `labels`."""
    await connection.execute(
        update(api_tokens)
        .where(api_tokens.c.label.in_(list(labels)), api_tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


async def token_used(connection: AsyncConnection, token_id: str, now: float) -> None:
    """Note the last use of a token."""
    await connection.execute(
        update(api_tokens).where(api_tokens.c.id == token_id).values(last_used_at=now)
    )


async def forget_token(connection: AsyncConnection, token_id: str) -> None:
    """Remove a token with the credentials that it admitted, to make room for a new secret."""
    await connection.execute(delete(credentials).where(credentials.c.via == f"token:{token_id}"))
    await connection.execute(delete(api_tokens).where(api_tokens.c.id == token_id))
