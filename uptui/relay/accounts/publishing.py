"""Which of the routes that a host wishes for it gets, and which direct port each keeps.

PublishPolicy is the data path's RoutePolicy and StoredPorts its PortBook (see route_policy.py). A
token route belongs to the identity that published it first; a token that is no longer published
loses its port at once, while an alias keeps everything until its owner releases it.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.errors import ProtocolError
from uptui.protocol.control import Publish, Refusal, RefusalCode, Route
from uptui.protocol.names import RouteName, is_invite, is_token, masked
from uptui.relay.accounts.alias_rules import owner_of
from uptui.relay.accounts.alias_service import AliasService, NameRefusedError
from uptui.relay.accounts.keys import canonical
from uptui.relay.accounts.port_limits import Holder
from uptui.relay.accounts.quotas import Quotas
from uptui.relay.accounts.route_policy import Identity
from uptui.relay.live import LiveHosts
from uptui.relay.store import Database, accounts, hosts, ports, usage
from uptui.relay.store import aliases as alias_rows

MAX_HOST_KEYS: Final = 8


class PublishPolicy:
    """Decides over routes, in one transaction per Publish."""

    def __init__(
        self, database: Database, names: AliasService, live: LiveHosts, clock: Callable[[], float]
    ) -> None:
        """`clock` gives Unix seconds."""
        self._database = database
        self._names = names
        self._live = live
        self._clock = clock

    async def review(self, identity: Identity, publish: Publish) -> list[Refusal]:
        """Refuse each route that this identity may not serve; claim the others for it.

        Token routes of this identity that are absent are forgotten with their ports. Raises
        ProtocolError for host keys that are none.
        """
        host_keys = _canonical_keys(publish)

        async def reviewed(connection: AsyncConnection) -> list[Refusal]:
            refused: list[Refusal] = []
            await self._forget_absent(connection, identity, publish)
            over = await self._over_quota(connection, identity)
            for route in publish.routes:
                refusal = over and _refusal(route, "quota", over)
                if not refusal:
                    refusal = await self._route(connection, identity, route, host_keys)
                if refusal is not None:
                    refused.append(refusal)
            return refused

        return await self._database.writing(reviewed)

    async def spent(self, identities: Iterable[Identity]) -> frozenset[str]:
        """The owners of these whose bytes of this month are used up."""
        async with self._database.read() as connection:
            limited = await accounts.limited_in_bytes(connection)
            wanted = {
                owner_of(one): self._names.settings.quotas.of(limited.get(one.account or ""))
                for one in identities
            }
            limits = {
                owner: quotas.max_bytes_per_month
                for owner, quotas in wanted.items()
                if quotas.max_bytes_per_month is not None
            }
            if not limits:
                return frozenset()
            month = usage.month_of(self._clock())
            moved = await usage.moved_at_least(connection, month, min(limits.values()))
        return frozenset(owner for owner, most in limits.items() if moved.get(owner, 0) >= most)

    async def touch(self, names: Sequence[str]) -> None:
        """Note that these routes are in use; aliases live on from now."""
        await self._names.touch([n for n in names if not is_token(n) and not is_invite(n)])

    async def _quotas(self, connection: AsyncConnection, identity: Identity) -> Quotas:
        account = await accounts.get(connection, identity.account) if identity.account else None
        return self._names.settings.quotas.of(account)

    async def _over_quota(self, connection: AsyncConnection, identity: Identity) -> str:
        """Why this host gets nothing at all, or an empty text."""
        quotas = await self._quotas(connection, identity)
        others = {
            host.session_id
            for host in self._live.live_hosts()
            if host.fingerprint != identity.fingerprint
            and identity.account is not None
            and host.account == identity.account
        }
        if len(others) >= quotas.max_sessions:
            return f"{len(others)} of {quotas.max_sessions} sessions of this account are in use"
        if quotas.max_bytes_per_month is None:
            return ""
        month = usage.month_of(self._clock())
        used = await usage.of(connection, owner_of(identity), month)
        if used.received + used.sent < quotas.max_bytes_per_month:
            return ""
        return f"the {quotas.max_bytes_per_month} bytes of {month} are used up"

    async def _forget_absent(
        self, connection: AsyncConnection, identity: Identity, publish: Publish
    ) -> None:
        keep = [ports.route_key(r.name) for r in publish.routes if r.kind != "alias"]
        gone = await hosts.drop_routes(connection, identity.fingerprint, keep)
        await ports.free_keys(connection, gone, self._clock())

    async def _route(
        self,
        connection: AsyncConnection,
        identity: Identity,
        route: Route,
        host_keys: Sequence[str],
    ) -> Refusal | None:
        if route.kind != "alias":
            return await self._bind_secret(connection, identity, route)
        try:
            await self._names.claim_in(
                connection, route.name, owner_of(identity), host_keys, rotate=False
            )
        except NameRefusedError as error:
            return Refusal(
                name=route.name,
                code=error.refused.code,
                message=error.refused.message,
                suggestions=error.suggestions,
            )
        return None

    async def _bind_secret(
        self, connection: AsyncConnection, identity: Identity, route: Route
    ) -> Refusal | None:
        """Bind a token or invite to its identity, or say why not."""
        fits = is_token(route.name) if route.kind == "token" else is_invite(route.name)
        if not fits:
            return _refusal(route, "invalid_name", f"not a {route.kind}: {masked(route.name)!r}")
        key = ports.route_key(route.name)
        owner = await hosts.route_owner(connection, key)
        if owner is not None and owner != identity.fingerprint:
            return _refusal(route, "taken", f"this {route.kind} is in use by another host")
        await hosts.bind_route(connection, key, identity.fingerprint, self._clock())
        return None


class StoredPorts:
    """Direct ports by route name, kept in the store."""

    def __init__(self, database: Database, names: AliasService, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._database = database
        self._names = names
        self._clock = clock

    async def port_of(self, name: RouteName) -> int | None:
        """The port remembered for this name."""
        return (await self._database.reading(lambda it: ports.of(it, [name]))).get(name)

    async def assign(
        self, name: RouteName, holder: Holder, span: range, avoid: Collection[int]
    ) -> int | None:
        """The name's port within `span`, remembered from now on; None when all are taken. Raises
        PortQuotaError for a holder that has enough others."""
        held = await self._database.reading(lambda it: ports.held(it, name, holder))
        if held is not None and held in span and held not in avoid:
            return held  # nothing to write: most names of a host that comes back
        return await self._database.writing(
            lambda it: self._names.port_in(it, name, holder, span, avoid)
        )

    async def free(self, name: RouteName) -> None:
        """The name is gone for good; an alias that is still owned keeps its port all the same."""
        async with self._database.write() as connection:
            if await alias_rows.get(connection, name) is None:
                await ports.free(connection, [name], self._clock())


def _refusal(route: Route, code: RefusalCode, message: str) -> Refusal:
    return Refusal(name=route.name, code=code, message=message)


def _canonical_keys(publish: Publish) -> list[str]:
    if not 1 <= len(publish.host_keys) <= MAX_HOST_KEYS:
        raise ProtocolError(f"a Publish names 1 to {MAX_HOST_KEYS} host keys")
    return [canonical(key) for key in publish.host_keys]
