"""Aliases in the store: claim, release, transfer, list; alias_rules.py decides each of them."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from uptui.errors import RelayRefusedError
from uptui.protocol.names import alias_problem
from uptui.relay.accounts import alias_rules as rules
from uptui.relay.accounts.alias_rules import AliasRecord, Claimant, Refused
from uptui.relay.accounts.port_limits import Holder, PortQuotaError
from uptui.relay.accounts.quotas import Quotas
from uptui.relay.store import Database, accounts, ports
from uptui.relay.store import aliases as rows

ACCOUNT: Final = "account:"
"""What an owner that is an account begins with."""


class NameRefusedError(RelayRefusedError):
    """The relay does not give this name; `suggestions` are free ones close to it."""

    def __init__(self, refused: Refused, suggestions: Sequence[str] = ()) -> None:
        super().__init__(refused.code, refused.message)
        self.refused = refused
        self.suggestions = list(suggestions)


@dataclass(frozen=True)
class NameSettings:
    """What the operator decides about aliases and ports."""

    ttl: float = rules.DEFAULT_TTL
    ports: range = range(0)
    """Direct ports that may be given; empty when the relay has none."""
    quotas: Quotas = field(default_factory=Quotas)
    token_port_ttl: float = 600.0
    """Seconds that a token's port is kept for a host that is away; an alias keeps its port."""


class AliasService:
    """All persistent names of a relay."""

    def __init__(
        self,
        database: Database,
        settings: NameSettings,
        clock: Callable[[], float],
        *,
        open_hosting: bool = False,
    ) -> None:
        """`clock` gives Unix seconds. `open_hosting`: who has no account is a stranger."""
        self._database = database
        self.settings = settings
        self._open_hosting = open_hosting
        self._clock = clock

    async def availability(self, name: str) -> tuple[Refused | None, list[str]]:
        """Why the name cannot be claimed by a newcomer, with suggestions; None when it can."""
        refused = rules.name_refusal(name)
        async with self._database.read() as connection:
            if refused is None:
                record = await rows.get(connection, name)
                if rules.is_free(record, self._clock(), self.settings.ttl):
                    return None, []
                refused = Refused("taken", f"the alias {name!r} is taken")
            return refused, await suggestions(connection, name)

    async def claim(
        self, name: str, holder: Holder, host_keys: Sequence[str], rotate: bool
    ) -> AliasRecord:
        """Give the name to its owner, with a port if it may have one; claiming again is harmless.

        Raises NameRefusedError.
        """
        async with self._database.write() as connection:
            record = await self.claim_in(connection, name, holder.owner, host_keys, rotate)
            try:
                port = await self.port_in(connection, name, holder, self.settings.ports)
            except PortQuotaError:
                port = None
        return dataclasses.replace(record, port=port)

    async def claim_in(
        self,
        connection: AsyncConnection,
        name: str,
        owner: str,
        host_keys: Sequence[str],
        rotate: bool,
    ) -> AliasRecord:
        """Like `claim` inside a write transaction, without choosing a port."""
        now = self._clock()
        found = await rows.get(connection, name) if alias_problem(name) is None else None
        claimant = await self._claimant(connection, owner)
        refused = rules.claim_refusal(name, found, claimant, now, self.settings.ttl)
        if refused is None and found is not None and found.owner == owner:
            refused = rules.host_key_refusal(found, host_keys, rotate)
        if refused is not None:
            wants_others = refused.code in {"taken", "reserved", "invalid_name"}
            other = await suggestions(connection, name) if wants_others else ()
            raise NameRefusedError(refused, other)
        if found is not None and found.owner != owner:
            await ports.free(connection, [name], now)
            found = None
        record = _claimed(found, name, owner, host_keys, rotate, now)
        await rows.put(connection, record)
        return record

    async def port_in(
        self,
        connection: AsyncConnection,
        name: str,
        holder: Holder,
        span: range,
        avoid: Collection[int] = (),
    ) -> int | None:
        """The direct port of a name inside a write transaction, chosen now if it has none.

        Raises PortQuotaError.
        """
        account = await self._account(connection, holder.owner)
        login = self._open_hosting and not holder.owner.startswith(ACCOUNT)
        quotas = self.settings.quotas.of(account)
        limits = quotas.ports(login, len(self.settings.ports))
        return await ports.assign(connection, name, holder, limits, span, avoid, self._clock())

    async def get(self, name: str) -> AliasRecord | None:
        """One alias that has not expired."""
        async with self._database.read() as connection:
            record = await rows.get(connection, name)
        return None if rules.is_free(record, self._clock(), self.settings.ttl) else record

    async def owner(self, name: str) -> str | None:
        """Whom the alias belongs to now."""
        record = await self.get(name)
        return None if record is None else record.owner

    async def page(self, owner: str | None, after: str, limit: int) -> list[AliasRecord]:
        """At most `limit` aliases after the name `after`; of everybody when `owner` is None."""
        async with self._database.read() as connection:
            return await rows.page(connection, owner, after, limit)

    async def release(self, name: str, owner: str | None) -> bool:
        """Give a name up; False when there was none. `owner` None acts for the operator.

        Raises NameRefusedError when it belongs to somebody else.
        """
        async with self._database.write() as connection:
            record = await rows.get(connection, name)
            if record is None:
                return False
            _require_owner(record, owner)
            await ports.free(connection, [name], self._clock())
            await rows.remove(connection, name)
        return True

    async def transfer(
        self, name: str, owner: str | None, to: str
    ) -> tuple[AliasRecord, bool] | None:
        """Hand a name over with its port and its pinned host key; None when there is none.

        The second value says whether it has moved: who has it already keeps it. Raises
        NameRefusedError when it belongs to somebody else or
        the receiver's quota is full.
        """
        async with self._database.write() as connection:
            record = await rows.get(connection, name)
            if record is None:
                return None
            _require_owner(record, owner)
            if record.owner == to:
                return record, False
            receiver = await self._claimant(connection, to)
            if receiver.aliases >= receiver.max_aliases:
                raise NameRefusedError(
                    Refused("quota", f"the receiver already has {receiver.aliases} aliases")
                )
            moved = dataclasses.replace(record, owner=to, last_used_at=self._clock())
            await rows.put(connection, moved)
        return moved, True

    async def touch(self, names: Sequence[str]) -> None:
        """Note that these aliases are in use."""
        async with self._database.write() as connection:
            await rows.touch(connection, names, self._clock())

    async def _claimant(self, connection: AsyncConnection, owner: str) -> Claimant:
        account = await self._account(connection, owner)
        used_since = self._clock() - self.settings.ttl
        owned = await rows.count(connection, owner, used_since)
        return Claimant(owner, owned, self.settings.quotas.of(account).max_aliases)

    async def _account(
        self, connection: AsyncConnection, owner: str
    ) -> accounts.AccountRecord | None:
        if not owner.startswith(ACCOUNT):
            return None
        return await accounts.get(connection, owner.removeprefix(ACCOUNT))


async def suggestions(connection: AsyncConnection, name: str) -> list[str]:
    """Free names close to `name`."""
    wanted = list(rules.candidates(name))
    taken = await rows.taken(connection, wanted)
    return [free for free in wanted if free not in taken][: rules.MAX_SUGGESTIONS]


def _claimed(
    found: AliasRecord | None,
    name: str,
    owner: str,
    host_keys: Sequence[str],
    rotate: bool,
    now: float,
) -> AliasRecord:
    if found is None:
        return AliasRecord(name, owner, rules.key_to_pin(host_keys), now, now)
    keep = found.host_key is not None and (not rotate or not host_keys)
    host_key = found.host_key if keep else rules.key_to_pin(host_keys)
    return dataclasses.replace(found, host_key=host_key, last_used_at=now)


def _require_owner(record: AliasRecord, owner: str | None) -> None:
    if owner is not None and record.owner != owner:
        message = f"the alias {record.name!r} belongs to somebody else"
        raise NameRefusedError(Refused("taken", message))
