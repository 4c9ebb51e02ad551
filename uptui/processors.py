"""How many processors this process may use: by its affinity and by its control groups' quotas."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")
_V1: Final = "cpu"
"""The controller that knows of quotas, and where its hierarchy is mounted."""


def processors(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> float:
    """The fewest that affinity and any quota allow, such as 1.5 (cgroups(7))."""
    try:
        mine = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        mine = os.cpu_count() or 1
    return min(mine, *(_quota(folder) for folder in _folders(groups, membership)))


def _folders(groups: Path, membership: Path) -> Iterator[Path]:
    """Those of our groups and of all groups around them, in both versions of control groups."""
    yield groups
    yield groups / _V1
    try:
        lines = os.fsdecode(membership.read_bytes()).splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        inner = Path(path.lstrip("/"))
        if not controllers:
            yield from (groups / one for one in (inner, *inner.parents))
        elif _V1 in controllers.split(","):
            yield from (groups / _V1 / one for one in (inner, *inner.parents))


def _quota(folder: Path) -> float:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if quota not in {"max", "-1"}:
                return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf
