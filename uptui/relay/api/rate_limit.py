"""How many API requests a source address may make; counted by the library `limits`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from uptui.net.sources import source_of

MAX_SOURCES: Final = 50_000
"""Sources counted one by one; further ones share a count."""


@dataclass(frozen=True)
class RateSettings:
    """Requests per minute and source."""

    requests: int
    logins: int


TOO_OFTEN: Final = "too many openings that failed from this address; wait a minute"
FAILURES: Final = 1_200
"""Wrong bearers and stream ids of one source in a minute: enough for a company whose credentials
have all expired, too few to guess anything or to cost us much."""
CHANNELS: Final = 30
"""Control channels of one identity in a minute; two daemons of one key that drive each other out
need fewer."""
MINUTE: Final = 60.0


class Failures:
    """Openings of WebSockets that failed, by source, and control channels, by identity.

    They are counted here and not by `limits`, whose memory starts a thread for what expires.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        """`now` gives monotonic seconds."""
        self._now = now
        self._until = 0.0
        self._failed: Counter[str] = Counter()
        self._opened: Counter[str] = Counter()

    def barred(self, address: str | None) -> bool:
        """Whether this source has failed too often within a minute."""
        self._turn()
        return self._failed[source_of(address)] >= FAILURES

    def failed(self, address: str | None) -> None:
        """It has failed once more."""
        self._turn()
        self._failed[source_of(address)] += 1

    def may_open(self, fingerprint: str) -> bool:
        """Count one more control channel of an identity; False when that is too many."""
        self._turn()
        self._opened[fingerprint] += 1
        return self._opened[fingerprint] <= CHANNELS

    def _turn(self) -> None:
        """A new minute begins with nothing counted."""
        now = self._now()
        if now >= self._until:
            self._until = now + MINUTE
            self._failed.clear()
            self._opened.clear()


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
