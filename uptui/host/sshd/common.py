"""What the connections of one host share."""

from dataclasses import dataclass, field

from uptui.host.sshd.files.workers import FileWorkers
from uptui.host.sshd.forwarding.guard import Guard
from uptui.net.resolver import Resolver


@dataclass
class Common:
    """Made once per daemon."""

    guard: Guard | None = None
    """Knows the daemon's own files; None where there are none."""
    resolver: Resolver = field(default_factory=Resolver)
    workers: FileWorkers = field(default_factory=FileWorkers)
    """For files, by the fingerprint of a client's key."""
