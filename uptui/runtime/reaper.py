"""As the first process of a container: buries programs that nobody else waits for.

The kernel gives the first process every orphan; the dead among them keep their numbers until it
waits for them, and a container has only so many. Children of our own are waited for as they end:
in the same loop, so that one which is held up holds this up, too.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

FIRST: Final = 1
CHILDREN: Final = Path(f"/proc/{FIRST}/task/{FIRST}/children")
PERIOD: Final = 5.0
"""Seconds that a dead child may take to be waited for by its owner."""


class Orphans:
    """Runs always, works only as the first process."""

    def __init__(self) -> None:
        self._dead: frozenset[int] = frozenset()

    async def run(self) -> None:
        """Until cancelled."""
        while os.getpid() == FIRST:
            await asyncio.sleep(PERIOD)
            self.step()

    def step(self) -> None:
        """Wait for who was dead at the last step already."""
        dead = frozenset(pid for pid in _children() if _is_dead(pid))
        for pid in dead & self._dead:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        self._dead = dead - self._dead


def _children() -> list[int]:
    try:
        return [int(word) for word in CHILDREN.read_text(encoding="ascii").split()]
    except OSError:
        return []


def _is_dead(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
