"""Names whose hosts are on their way back after the relay was restarted: their clients wait."""

import asyncio
from collections.abc import Iterable

from uptui.protocol.names import RouteName


class ReturningHosts:
    """The names, each until it is served or the time is over."""

    def __init__(self) -> None:
        self._names: dict[RouteName, asyncio.Event] = {}
        self._end: asyncio.TimerHandle | None = None

    def expect(self, names: Iterable[RouteName], within: float) -> None:
        """Let clients of these names wait for `within` seconds from now."""
        self._names.update((name, asyncio.Event()) for name in names)
        self._end = asyncio.get_running_loop().call_later(within, self.clear)

    def came(self, name: RouteName) -> None:
        """The name is served now."""
        if (event := self._names.pop(name, None)) is not None:
            event.set()

    async def wait(self, name: str) -> None:
        """Return once the name is served, or is not expected (any more)."""
        if (event := self._names.get(RouteName(name))) is not None:
            await event.wait()

    def clear(self) -> None:
        """Expect nobody any more."""
        if self._end is not None:
            self._end.cancel()
        for name in list(self._names):
            self.came(name)
