"""What the API asks the data path about the hosts connected now."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from uptui.protocol.control import WithdrawalReason

OwnerNow = Callable[[str], Awaitable[str | None]]
"""Whom an alias belongs to at this moment (aliases.owner_of); None for nobody."""


@dataclass(frozen=True)
class LiveHost:
    """One host on its control channel."""

    session_id: str
    """Random, for administration; never a route name."""
    fingerprint: str
    account: str | None
    address: str
    software: str
    since: float
    """Unix seconds."""
    aliases: Sequence[str]
    routes: int
    streams: int
    """Open now."""
    received: int
    """Bytes from clients to this host."""
    sent: int
    token: str | None = None
    """Id of the API token that it joined with."""


class LiveHosts(Protocol):
    """The registry of connected hosts, as the API sees it."""

    def live_hosts(self) -> Sequence[LiveHost]:
        """Every connected host."""
        ...

    def is_online(self, name: str) -> bool:
        """Whether clients reach somebody by this alias now."""
        ...

    async def disconnect(self, session_id: str, message: str) -> bool:
        """End a host's control channel and its streams; False when there is no such session."""
        ...

    async def withdraw(self, name: str, reason: WithdrawalReason, owner: OwnerNow) -> None:
        """The name has changed hands: stop serving it, unless its host is the owner now, and tell
        the host. Unknown names are fine."""
        ...


class NobodyLive:
    """A relay whose data path is not running."""

    def live_hosts(self) -> Sequence[LiveHost]:
        """None."""
        return ()

    def is_online(self, name: str) -> bool:
        """Never."""
        return False

    async def disconnect(self, session_id: str, message: str) -> bool:
        """There is nobody to disconnect."""
        return False

    async def withdraw(self, name: str, reason: WithdrawalReason, owner: OwnerNow) -> None:
        """Nothing is served."""
