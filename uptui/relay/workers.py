"""Owns the relay's background tasks: one group, from which none can vanish unnoticed."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

from uptui.relay import logs
from uptui.relay.metrics import Metrics

RESTART_PAUSE: Final = 1.0
"""Seconds until a worker that failed is started again."""

Work = Callable[[], Coroutine[None, None, None]]

log = logs.logger("uptui.relay.workers")


class Workers:
    """Runs every worker until cancelled.

    One that raises is logged with its traceback, counted as a failure of its name, and started
    again: what is open goes on either way, whether the process then ends (`uptui relay`) or a share
    depends on this relay (`uptui host`). `failed` is set from then on.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.failed = asyncio.Event()

    async def run(self, works: Mapping[str, Work]) -> None:
        """`works` by the names under which their failures are counted; they may also return."""
        async with asyncio.TaskGroup() as group:
            for name, work in works.items():
                group.create_task(self._keep(name, work), name=name)

    async def _keep(self, name: str, work: Work) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("worker_failed", worker=name)
                self._metrics.failed(name)
                self.failed.set()
            else:
                return
            await asyncio.sleep(RESTART_PAUSE)
