"""Carries the splices' byte counts to the metrics and to each owner's usage, every few seconds."""

import asyncio
from typing import Final

from uptui.relay.accounts.usage_meter import UsageMeter
from uptui.relay.metrics import Metrics
from uptui.relay.tunnel.broker import Broker

INTERVAL: Final = 5.0


class Accounting:
    """Reports what was counted since the last report."""

    def __init__(self, broker: Broker, metrics: Metrics, usage: UsageMeter) -> None:
        self._broker = broker
        self._metrics = metrics
        self._usage = usage

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.report()

    def report(self) -> None:
        """Report now, and forget the routes that are gone and have nothing open."""
        broker = self._broker
        for (name, way), tally in list(broker.tallies.items()):
            received = tally.received - tally.reported_received
            sent = tally.sent - tally.reported_sent
            if received or sent:
                tally.reported_received, tally.reported_sent = tally.received, tally.sent
                self._metrics.moved(way, received=received, sent=sent)
                if tally.owner:
                    self._usage.add(tally.owner, received=received, sent=sent)
            elif not tally.open and broker.registry.serving(name) is None:
                del broker.tallies[name, way]
