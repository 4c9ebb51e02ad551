"""Runs a program in an event loop: which selector it waits with, and how names are looked up."""

import asyncio
import select
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from uptui.net.resolver import Loop
from uptui.runtime.busy_poll import PACE
from uptui.runtime.cpu_quota import processors

T = TypeVar("T")

PROCESSORS: Final = 2
"""Fewer than that, and whoever we wait for would wait for us."""


def run(main: Coroutine[Any, Any, T], *, poll: bool, in_bulk: bool = False) -> T:
    """asyncio.run, with a loop that looks names up apart from other work, and that polls if that is
    wanted and there are processors for it."""
    if not poll or not hasattr(select, "epoll") or processors() < PROCESSORS:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(main)
    from uptui.runtime.selector import PollingSelector  # needs epoll

    if in_bulk:
        PACE.poll_in_bulk()
    with asyncio.Runner(loop_factory=lambda: Loop(PollingSelector(PACE))) as runner:
        return runner.run(main)
