"""Who wants a direct port, and whether it may have one more; plain facts in, no IO."""

from collections.abc import Iterable
from dataclasses import dataclass


class PortQuotaError(Exception):
    """This owner, or its source, has as many direct ports as it may have."""


@dataclass(frozen=True)
class Holder:
    """Who wants a direct port."""

    owner: str
    """See aliases.owner_of."""
    source: str
    """Whence it came (net.sources)."""


@dataclass(frozen=True)
class PortLimits:
    """How many direct ports a holder may have."""

    of_owner: int
    of_source: int | None
    """None for an owner whom somebody has vouched for: an office of them has one address."""

    def check(self, holder: Holder, held: Iterable[tuple[str | None, str | None]]) -> None:
        """Raises PortQuotaError; `held` are owner and source of each other port that is taken."""
        owners, sources = zip(*held, strict=True) if (held := list(held)) else ((), ())
        if owners.count(holder.owner) >= self.of_owner:
            raise PortQuotaError(f"{holder.owner} has {self.of_owner} direct ports already")
        if self.of_source is not None and sources.count(holder.source) >= self.of_source:
            raise PortQuotaError(f"{holder.source} has {self.of_source} direct ports already")
