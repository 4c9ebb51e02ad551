"""As the first process of a container: buries programs that nobody else waits for.

The kernel gives the first process every orphan; the dead among them keep their numbers until it
waits for them, and a container has only so many. Children of our own are waited for as they end.
"""

import os
import threading
import time
from pathlib import Path
from typing import Final

FIRST: Final = 1
CHILDREN: Final = Path(f"/proc/{FIRST}/task/{FIRST}/children")
PERIOD: Final = 5.0
"""Seconds that a dead child may take to be waited for by its owner."""


def bury() -> None:
    """Do so from now on, in a thread that ends with the process: whatever else runs in it."""
    threading.Thread(target=_run, name="orphans", daemon=True).start()


def _run() -> None:
    """Wait for who was dead at the last look already."""
    seen: frozenset[int] = frozenset()
    while True:
        time.sleep(PERIOD)
        dead = frozenset(pid for pid in _children() if _is_dead(pid))
        for pid in dead & seen:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        seen = dead - seen


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
