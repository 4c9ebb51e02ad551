"""How much one owner may use; an account's own figures come before the relay's defaults."""

from dataclasses import dataclass

from uptui.relay.store.accounts import AccountRecord


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
        )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
