"""Finds the owners whose bytes of this month are used up, so that they get no new streams."""

import asyncio
from typing import Final

from uptui.errors import StateError
from uptui.relay import logs
from uptui.relay.accounting import Accounting
from uptui.relay.aliases import owner_of
from uptui.relay.services import Services
from uptui.relay.store import usage
from uptui.relay.switchboard import Switchboard

INTERVAL: Final = 30.0

log = logs.logger("uptui.relay.allowance")


class Allowance:
    """Looks at the owners of all connected hosts from time to time."""

    def __init__(self, board: Switchboard, services: Services, accounting: Accounting) -> None:
        self._board = board
        self._services = services
        self._accounting = accounting

    async def run(self) -> None:
        """Look until cancelled; while the store fails, what was found last stays in force."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.look()
            except StateError as error:
                self._services.metrics.failed("store")
                log.error("allowance_failed", error=str(error))  # noqa: TRY400 - says all

    async def look(self) -> None:
        """Look now. Raises StateError when the store fails."""
        services = self._services
        self._accounting.report()
        await services.usage.flush()
        month = usage.month_of(services.clock())
        owners = {owner_of(host.identity): host.identity for host in self._board.registry.hosts}
        spent: set[str] = set()
        for owner, identity in owners.items():
            most = (await services.policy.quotas_of(identity)).max_bytes_per_month
            if most is None:
                continue
            async with services.database.read() as connection:
                used = await usage.of(connection, owner, month)
            if used.received + used.sent >= most:
                spent.add(owner)
        self._board.spent = frozenset(spent)
