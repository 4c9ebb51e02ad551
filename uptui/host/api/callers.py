"""Which processes of our own user may not use the host API: our own forwards, and guests' sessions.

A connection whose other end is the daemon itself is a forward of some client, whatever path led
there. A process below a guest's shell is the guest's; whoever has a shell can leave that tree, so
this keeps guests from the owner's commands by mistake, and is no fence.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_ANCESTORS: Final = 200
"""Parents looked at; more are no session's."""
FORWARDED: Final = (
    "this connection was forwarded by the share itself: nobody manages a share through itself"
)
GUEST: Final = (
    "this terminal belongs to a guest of the share: only the host's owner, and keys that the owner "
    "lists in authorized_keys, manage it"
)


@dataclass(frozen=True)
class Programs:
    """What is known of the processes of a share."""

    daemon: int
    guests: Mapping[int, str]
    """Programs that it runs for guests: whose key, by process id."""
    owners: Collection[str]
    """Fingerprints of the keys whose sessions may manage the share."""


def parent(pid: int) -> int:
    """The parent's process id, 0 when there is none or it cannot be told (as on macOS)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        return int(status.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def objection(pid: int, known: Programs, parent_of: Callable[[int], int] = parent) -> str:
    """Why this process may not use the API; empty when it may."""
    if pid == known.daemon:
        return FORWARDED
    child = pid
    for _ in range(MAX_ANCESTORS):
        if child <= 0 or child == known.daemon:
            return ""
        if child in known.guests:
            return "" if known.guests[child] in known.owners else GUEST
        child = parent_of(child)
    return ""
