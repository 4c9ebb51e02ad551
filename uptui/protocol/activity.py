"""What one client does: its channels and the files that it moves, as the host API shows them."""

from typing import Literal

import msgspec

ChannelKind = Literal[
    "shell", "exec", "files", "forward-local", "forward-remote", "agent", "x11", "terminal"
]


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """One open channel of a client."""

    id: int
    kind: ChannelKind
    detail: str
    opened_at: float
    received: int
    """Bytes from the client."""
    sent: int
    held_by: str = ""
    """Command that has ended: who still holds its output open, so that the channel goes on."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A file being moved, or just moved."""

    path: str
    direction: Literal["upload", "download"]
    bytes: int
    started_at: float
    finished_at: float | None = None
    error: str = ""
