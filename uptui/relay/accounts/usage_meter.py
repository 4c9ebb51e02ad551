"""Collects what each owner moves, cheap to call per stream, and writes it to the store in bulk."""

from collections.abc import Callable

from uptui.relay.store import Database, usage
from uptui.relay.store.usage import Usage


class UsageMeter:
    """Sums in memory; `flush` adds them to this month's figures."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._database = database
        self._clock = clock
        self._sums: dict[str, Usage] = {}

    def add(self, owner: str, *, received: int = 0, sent: int = 0, streams: int = 0) -> None:
        """Count for an owner (aliases.owner_of): bytes to the host, bytes back, new streams."""
        old = self._sums.get(owner, Usage())
        self._sums[owner] = Usage(old.received + received, old.sent + sent, old.streams + streams)

    async def flush(self) -> None:
        """Write the sums; when the store fails they stay and StateError is raised."""
        sums, self._sums = self._sums, {}
        if not sums:
            return
        month = usage.month_of(self._clock())
        try:
            async with self._database.write() as connection:
                await usage.add(connection, month, sums)
        except BaseException:
            for owner, lost in sums.items():
                self.add(owner, received=lost.received, sent=lost.sent, streams=lost.streams)
            raise
