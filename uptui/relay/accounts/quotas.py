"""How much one owner may use; an account's own figures come before the relay's defaults."""

from dataclasses import dataclass
from typing import Final

from uptui.relay.accounts.port_limits import PortLimits
from uptui.relay.store.accounts import AccountRecord

PORTS_OF_A_SOURCE: Final = 2 / 3
"""Part of the relay's direct ports that one source gets at most, unless a number is set."""
FEW_PORTS: Final = 8
"""One source gets so many of a small range even where that is more."""
UNRANGED_PORTS: Final = 1024
"""What one source gets where the kernel chooses the ports."""


@dataclass(frozen=True)
class Quotas:
    """Limits of one owner (an identity, or an account with all its identities)."""

    max_sessions: int = 20
    """Hosts connected at once."""
    max_aliases: int = 20
    max_bytes_per_month: int | None = None
    """Both directions together; None means no limit."""
    max_streams: int = 1000
    """Client connections at once per host."""
    max_ports: int = 40
    """Direct ports, kept ones of aliases included; an account's at least one for each of its
    sessions and aliases."""
    max_ports_per_source: int | None = None
    """Direct ports of strangers from one address or IPv6 /64, where hosting is open to everybody;
    None for two thirds of them."""

    def of(self, account: AccountRecord | None) -> "Quotas":
        """These defaults with the account's own figures over them."""
        if account is None:
            return self
        return Quotas(
            max_sessions=_or(account.max_sessions, self.max_sessions),
            max_aliases=_or(account.max_aliases, self.max_aliases),
            max_bytes_per_month=account.max_bytes_per_month
            if account.max_bytes_per_month is not None
            else self.max_bytes_per_month,
            max_streams=self.max_streams,
            max_ports=max(
                self.max_ports,
                _or(account.max_sessions, 0) + _or(account.max_aliases, 0),
            ),
            max_ports_per_source=self.max_ports_per_source,
        )

    def ports(self, owned_by_stranger: bool, given: int) -> PortLimits:
        """The limits of an owner, of `given` ports in all (0: the kernel chooses)."""
        if not owned_by_stranger:
            return PortLimits(self.max_ports, None)
        most = max(FEW_PORTS, int(given * PORTS_OF_A_SOURCE)) if given else UNRANGED_PORTS
        return PortLimits(self.max_ports, _or(self.max_ports_per_source, most))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
