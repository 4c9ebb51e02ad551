"""How many processors this process may use: by its affinity and by its control groups' quotas."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")
CONTROLLER: Final = "cpu"
"""What knows of quotas; the first version of control groups has a hierarchy for each."""
V1: Final = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
V2: Final = ("cpu.max",)
"""Where quota and period are written."""


def processors(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> float:
    """The fewest that affinity and any quota allow, such as 1.5 (cgroups(7))."""
    try:
        mine = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        mine = os.cpu_count() or 1
    return min(mine, *(_quota(*place) for place in _places(groups, membership)))


def _places(groups: Path, membership: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Folders of our groups and of all groups around them, and the files to look for there."""
    yield groups, V2
    yield groups / CONTROLLER, V1
    try:
        lines = os.fsdecode(membership.read_bytes()).splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        ours = Path(path.lstrip("/"))
        if ".." in ours.parts:
            continue  # a group outside of what this container sees
        if not controllers:
            yield from ((groups / one, V2) for one in (ours, *ours.parents))
        elif CONTROLLER in controllers.split(","):
            yield from ((groups / CONTROLLER / one, V1) for one in (ours, *ours.parents))


def _quota(folder: Path, names: tuple[str, ...]) -> float:
    try:
        quota, period = " ".join((folder / name).read_text() for name in names).split()
        return math.inf if quota in {"max", "-1"} else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
