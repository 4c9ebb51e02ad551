"""How many API requests a source address may make; counted by the library `limits`."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from time import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

MAX_SOURCES: Final = 50_000
"""Sources counted one by one; further ones share a count."""


def source_of(address: str | None) -> str:
    """Whom a request counts for: an IPv4 address, an IPv6 /64, or "local"."""
    if not address:
        return "local"
    try:
        parsed = ip_address(address)
    except ValueError:
        return "local"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)


@dataclass(frozen=True)
class RateSettings:
    """Requests per minute and source."""

    requests: int
    logins: int


class RequestLimiter:
    """Counts requests by source in windows of a minute."""

    def __init__(self, settings: RateSettings) -> None:
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._requests = RateLimitItemPerMinute(settings.requests)
        self._logins = RateLimitItemPerMinute(settings.logins)

    async def retry_after(self, address: str | None, *, login: bool) -> float | None:
        """Seconds to wait, or None when the request may pass."""
        source = source_of(address)
        if len(self._storage.storage) >= MAX_SOURCES:
            source = "everybody else"
        if not await self._limiter.hit(self._requests, "all", source):
            return await self._wait(self._requests, "all", source)
        if login and not await self._limiter.hit(self._logins, "login", source):
            return await self._wait(self._logins, "login", source)
        return None

    async def _wait(self, item: RateLimitItem, kind: str, source: str) -> float:
        window = await self._limiter.get_window_stats(item, kind, source)
        return max(1.0, window.reset_time - time())
