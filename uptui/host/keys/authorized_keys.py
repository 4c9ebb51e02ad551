"""Keeps the authorized keys of the configured sources fresh, also when the sources change."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uptui.config.keytext import showable
from uptui.core.keys import AuthorizedKey
from uptui.errors import ConfigError
from uptui.host.keys.sources import KeySources, parse_source
from uptui.protocol.names import Fingerprint


def check_readable(sources: Sequence[str], where: str) -> None:
    """Raises ConfigError for a file among the sources that cannot be read now."""
    for text in sources:
        path = parse_source(text).path
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            problem = f"{showable(text)}: cannot be read: {error.strerror}"
            raise ConfigError(where, problem) from None


class AuthorizedKeys:
    """One KeySources after the other."""

    def __init__(
        self,
        cache: Path,
        changed: Callable[[Mapping[Fingerprint, AuthorizedKey]], None],
        report: Callable[[str], None],
    ) -> None:
        self._cache = cache
        self._changed = changed
        self._report = report
        self._sources = self._made(())
        self._replaced = asyncio.Event()

    async def use(self, sources: Sequence[str]) -> None:
        """Use these sources from now on. Raises ConfigError."""
        self._sources = self._made(sources)
        await self._sources.refresh()
        self._changed(self._sources.keys)
        self._replaced.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._replaced.clear()
            keeping = asyncio.ensure_future(self._sources.run())
            try:
                await self._replaced.wait()
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    def _made(self, sources: Sequence[str]) -> KeySources:
        return KeySources(sources, self._cache, changed=self._changed, report=self._report)
