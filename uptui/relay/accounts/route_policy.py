"""What the data path asks of authentication, names and the store; the answers live elsewhere.

These protocols are the seam inside the relay: control, ports and the gateway know nothing of
nonces, accounts or databases, and auth, aliases and the store know nothing of sockets.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from uptui.protocol.control import Publish, Refusal
from uptui.protocol.names import Fingerprint, RouteName
from uptui.relay.accounts.port_limits import Holder


@dataclass(frozen=True)
class Identity:
    """A host that has proved possession of its identity key."""

    fingerprint: Fingerprint
    public_key: str
    """OpenSSH public key without comment."""
    account: str | None = None
    """Account name where the relay has accounts."""
    token: str | None = None
    """Id of the API token that let it in, if one did."""


class RoutePolicy(Protocol):
    """Which of the wished route names an identity gets; claims free aliases as it goes."""

    async def review(self, identity: Identity, publish: Publish) -> list[Refusal]:
        """One Refusal for each route that this identity may not serve: taken, host_key_mismatch,
        quota, not_allowed... Names of impossible shape are refused before this is asked."""
        ...


class PortBook(Protocol):
    """Which direct port belongs to which route name, for as long as the name lives."""

    async def port_of(self, name: RouteName) -> int | None:
        """The port remembered for this name."""
        ...

    async def assign(
        self, name: RouteName, holder: Holder, span: range, avoid: Collection[int]
    ) -> int | None:
        """The name's port within `span`, remembered from now on; None when all are taken.

        Raises PortQuotaError for a holder that has enough others.

        A port in `avoid` (something else listens there) is never given.
        """
        ...

    async def free(self, name: RouteName) -> None:
        """The name is gone for good: its port may go to others."""
        ...
