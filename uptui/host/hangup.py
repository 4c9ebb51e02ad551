"""Whom a vanished client hangs up on: the programs that were talking to it.

sshd sends no signal to programs without a terminal, so editors leave their servers in the process
group of the script that started them, with input and output elsewhere. A hang-up of the whole
group would end those servers at each lost connection; here they stay, as they do with sshd.
"""

import os
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

STANDARD: Final = (0, 1, 2)
"""Descriptors that show whether a program talks to the client."""
MAX_DESCENDANTS: Final = 10_000
"""Programs looked at, however many a command has started."""


def hang_up(leader: int, pipes: Collection[int]) -> None:
    """SIGHUP for process group leader `leader` and what of its group uses one of `pipes`.

    `pipes` are inode numbers. Where the system does not tell who uses what (no /proc), only the
    leader is told. The caller must not have reaped the leader.
    """
    listeners = [pid for pid in _descendants(leader) if _uses(pid, leader, pipes)]
    for pid in (leader, *listeners):
        try:
            os.kill(pid, signal.SIGHUP)
        except (ProcessLookupError, PermissionError):
            continue


def _descendants(leader: int) -> Iterator[int]:
    """Children, their children and so on, as long as their parents live."""
    waiting = [leader]
    for _ in range(MAX_DESCENDANTS):
        if not waiting:
            return
        pid = waiting.pop()
        try:
            children = [int(word) for word in _children(pid).split()]
        except OSError:
            continue
        yield from children
        waiting += children


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")


def _uses(pid: int, group: int, pipes: Collection[int]) -> bool:
    try:
        if os.getpgid(pid) != group:
            return False
    except ProcessLookupError:
        return False
    return any(_inode(pid, number) in pipes for number in STANDARD)


def _inode(pid: int, number: int) -> int:
    """The inode behind a descriptor of another process; -1 where that cannot be seen."""
    try:
        return Path(f"/proc/{pid}/fd/{number}").stat().st_ino
    except OSError:
        return -1
