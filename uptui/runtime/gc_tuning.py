"""Keeps garbage collections short where thousands of connections live.

A full collection looks at every object and holds up everybody meanwhile: a third of a second with
a thousand hosts and five thousand streams. So what has lived for a moment is left out of later
ones. Most of it still goes as soon as nothing refers to it; rings of objects that refer to each
other stay, until a full collection finds them when as much is left out again as there was.
"""

import asyncio
import gc
from typing import Final

PERIOD: Final = 1.0
"""Seconds between steps: what is younger is all that a usual collection looks at."""
STEPS_PER_COUNT: Final = 10
"""Counting what is left out takes milliseconds, too."""
ALLOWANCE: Final = 300_000
"""Objects that may be left out before the first full collection, and beyond the doubling."""


class Collector:
    """The only one of its process."""

    def __init__(self, allowance: int = ALLOWANCE) -> None:
        self._allowance = allowance
        self._limit = 0
        self._steps = 0

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            self.step()

    def step(self) -> None:
        """Leave out what has lived until now, and look at everything when that has doubled."""
        self._steps += 1
        if self._steps % STEPS_PER_COUNT == 0 and gc.get_freeze_count() > self._limit:
            self.settle()
        else:
            gc.collect(1)
            gc.freeze()

    def settle(self) -> None:
        """Collect everything now, which takes its time, and leave out what stays."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._limit = 2 * gc.get_freeze_count() + self._allowance
