"""Administration: sessions, accounts, API tokens, blocked identities."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Response

from uptui.protocol.relay_api import PREFIX
from uptui.relay.accounts.quotas import Quotas
from uptui.relay.accounts.tokens import digest, new_token
from uptui.relay.api import examples, models
from uptui.relay.api.access import Authorised, Relay
from uptui.relay.api.models import Account, Block, HostSession, IssuedToken, Token
from uptui.relay.api.permissions import Principal
from uptui.relay.api.problems import ProblemError
from uptui.relay.live import LiveHost
from uptui.relay.services import RelayServices
from uptui.relay.store import accounts, hosts, usage
from uptui.relay.store.accounts import AccountRecord, TokenRecord

router = APIRouter(prefix=PREFIX, tags=["administration"])

Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str, Query(max_length=64, description="`next` of the last page.")]
AccountPath = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", max_length=63, examples=["team-a"])
]
TokenPath = Annotated[
    str, Path(pattern=r"^[a-z0-9][a-z0-9-]{2,15}$", max_length=16, examples=["ci-runners"])
]


@router.get("/sessions", summary="Hosts connected now")
async def sessions(
    relay: Relay, caller: Authorised, after: After = "", limit: Limit = 50
) -> models.SessionPage:
    """List connected hosts by session id, to a token of an account only those of the account;
    tokens and invites are never shown."""
    found = sorted(
        (
            host
            for host in relay.live.live_hosts()
            if host.session_id > after and caller.sees(_owner(host))
        ),
        key=lambda host: host.session_id,
    )
    items = [_session(host) for host in found[:limit]]
    return models.SessionPage(items, items[-1].id if len(found) > limit else None)


@router.delete("/sessions/{session_id}", status_code=204, summary="Disconnect a host")
async def disconnect(
    relay: Relay,
    _caller: Authorised,
    session_id: Annotated[str, Path(max_length=64)],
    message: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """End a host's session and its streams; it does not come back by itself."""
    if not await relay.live.disconnect(session_id, message or "ended by the relay's operator"):
        raise ProblemError(404, "there is no such session")
    return Response(status_code=204)


@router.put("/blocks", status_code=204, summary="Block an identity")
async def block(relay: Relay, _caller: Authorised, wish: Block) -> Response:
    """Shut an identity out at once, or let it in again."""
    async with relay.database.write() as connection:
        known = await hosts.block(connection, wish.fingerprint, wish.blocked)
    if not known:
        raise ProblemError(404, "this identity was never seen here")
    if wish.blocked:
        for host in relay.live.live_hosts():
            if host.fingerprint == wish.fingerprint:
                await relay.live.disconnect(host.session_id, "blocked by the relay's operator")
    return Response(status_code=204)


@router.get("/accounts", summary="All accounts")
async def list_accounts(
    relay: Relay, caller: Authorised, after: After = "", limit: Limit = 50
) -> models.AccountPage:
    """List accounts by name, with this month's use; to a token of an account only that one."""
    async with relay.database.read() as connection:
        if caller.sees_all:
            found = await accounts.page(connection, after, limit + 1)
        else:
            own = await accounts.get(connection, _account_of(caller))
            found = [own] if own is not None and own.name > after else []
    items = [await _account(relay, record) for record in found[:limit]]
    return models.AccountPage(items, items[-1].name if len(found) > limit else None)


@router.put("/accounts/{name}", summary="Create or change an account")
async def put_account(
    relay: Relay,
    _caller: Authorised,
    name: AccountPath,
    wish: Annotated[models.AccountSettings, Body(openapi_examples=examples.ACCOUNT)],
) -> Account:
    """Set an account's quotas; disabling it locks its identities and tokens out at once."""
    async with relay.database.write() as connection:
        old = await accounts.get(connection, name)
        record = AccountRecord(
            name,
            relay.clock() if old is None else old.created_at,
            wish.disabled,
            wish.max_sessions,
            wish.max_aliases,
            wish.max_bytes_per_month,
        )
        await accounts.put(connection, record)
    if wish.disabled:
        await _disconnect_account(relay, name)
    return await _account(relay, record)


@router.delete("/accounts/{name}", status_code=204, summary="Delete an account")
async def delete_account(relay: Relay, _caller: Authorised, name: AccountPath) -> Response:
    """Delete an account with its tokens; its aliases stay reserved until they expire."""
    async with relay.database.write() as connection:
        known = await accounts.remove(connection, name)
    if not known:
        raise ProblemError(404, f"there is no account {name!r}")
    await _disconnect_account(relay, name)
    return Response(status_code=204)


@router.get("/tokens", summary="All API tokens")
async def list_tokens(
    relay: Relay,
    caller: Authorised,
    account: Annotated[str | None, Query(max_length=63)] = None,
    after: After = "",
    limit: Limit = 50,
) -> models.TokenPage:
    """List API tokens by id, to a token of an account only those of the account; their secrets are
    not known to anybody."""
    if not caller.sees_all:
        own = _account_of(caller)
        if account not in {None, own}:
            raise ProblemError(403, "this token sees only what belongs to its own account")
        account = own
    async with relay.database.read() as connection:
        found = await accounts.token_page(connection, account, after, limit + 1)
    items = [_token(record, relay.clock()) for record in found[:limit]]
    return models.TokenPage(items, items[-1].id if len(found) > limit else None)


@router.put("/tokens/{token_id}", summary="Issue an API token")
async def issue_token(
    relay: Relay,
    _caller: Authorised,
    token_id: TokenPath,
    wish: Annotated[models.TokenWish, Body(openapi_examples=examples.TOKEN)],
) -> IssuedToken:
    """Issue a token under an id of your choice; repeating it replaces the secret."""
    now = relay.clock()
    secret = new_token()
    record = TokenRecord(
        token_id,
        wish.account,
        frozenset(wish.scopes),
        wish.label,
        now,
        None if wish.expires_in is None else now + wish.expires_in,
    )
    async with relay.database.write() as connection:
        if wish.account and await accounts.get(connection, wish.account) is None:
            raise ProblemError(404, f"there is no account {wish.account!r}")
        await accounts.forget_token(connection, token_id)
        await accounts.add_token(connection, digest(secret), record)
    return IssuedToken(_token(record, now), secret)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke an API token")
async def revoke_token(relay: Relay, _caller: Authorised, token_id: TokenPath) -> Response:
    """Make a token worthless with every login made by it, and disconnect the hosts it let in."""
    async with relay.database.write() as connection:
        if await accounts.token_by_id(connection, token_id) is None:
            raise ProblemError(404, f"there is no token {token_id!r}")
        await accounts.revoke_token(connection, token_id, relay.clock())
    for host in relay.live.live_hosts():
        if host.token == token_id:
            await relay.live.disconnect(host.session_id, "its API token was revoked")
    return Response(status_code=204)


def _owner(host: LiveHost) -> str:
    return f"account:{host.account}" if host.account else host.fingerprint


def _account_of(caller: Principal) -> str:
    """The account of a caller that does not see everything, and so has one."""
    return (caller.owner or "").removeprefix("account:")


async def _disconnect_account(relay: RelayServices, name: str) -> None:
    for host in relay.live.live_hosts():
        if host.account == name:
            await relay.live.disconnect(host.session_id, "this account is closed")


async def _account(relay: RelayServices, record: AccountRecord) -> Account:
    quotas: Quotas = relay.names.settings.quotas.of(record)
    async with relay.database.read() as connection:
        month = usage.month_of(relay.clock())
        used = await usage.of(connection, f"account:{record.name}", month)
    return Account(
        name=record.name,
        created_at=record.created_at,
        disabled=record.disabled,
        max_sessions=quotas.max_sessions,
        max_aliases=quotas.max_aliases,
        max_bytes_per_month=quotas.max_bytes_per_month,
        bytes_this_month=used.received + used.sent,
        streams_this_month=used.streams,
    )


def _token(record: TokenRecord, now: float) -> Token:
    return Token(
        id=record.id,
        account=record.account,
        scopes=sorted(record.scopes),
        label=record.label,
        created_at=record.created_at,
        expires_at=record.expires_at,
        last_used_at=record.last_used_at,
        revoked_at=record.revoked_at,
        valid=record.is_valid(now),
    )


def _session(host: LiveHost) -> HostSession:
    return HostSession(
        id=host.session_id,
        fingerprint=host.fingerprint,
        account=host.account,
        address=host.address,
        software=host.software,
        since=host.since,
        aliases=list(host.aliases),
        routes=host.routes,
        streams=host.streams,
        received=host.received,
        sent=host.sent,
    )
