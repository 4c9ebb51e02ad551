"""Finds the owners whose bytes of this month are used up, so that they get no new streams."""

import asyncio
from typing import Final

from uptui.errors import StateError
from uptui.relay import logs
from uptui.relay.accounts.accounting import Accounting
from uptui.relay.services import RelayServices
from uptui.relay.tunnel.broker import Broker

INTERVAL: Final = 30.0

log = logs.logger("uptui.relay.accounts.allowance")


class Allowance:
    """Looks at the owners of all connected hosts from time to time."""

    def __init__(self, broker: Broker, services: RelayServices, accounting: Accounting) -> None:
        self._broker = broker
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
        self._accounting.report()
        await self._services.usage.flush()
        hosts = self._broker.registry.hosts
        self._broker.spent = await self._services.policy.spent(host.identity for host in hosts)
