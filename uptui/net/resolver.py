"""Looks names up in threads of their own, shared fairly; `getaddrinfo` blocks as long as it likes.

A resolver whose server is silent keeps its thread for half a minute and cannot be interrupted. So
nobody's lookups run among other work, one client's wait for each other and not for its neighbours,
and the end of the process waits for none of them.
"""

import asyncio
import socket
from collections.abc import Callable, Hashable
from typing import Any, Final

from uptui.runtime.threads import in_thread

THREADS: Final = 64
"""Lookups that run at once, all clients' together."""
PER_CLIENT: Final = 4
"""Lookups that run at once for one client."""
WAITING: Final = 64
"""Lookups of one client that wait for an answer."""
TIMEOUT: Final = 20.0
"""Seconds after which a lookup that waits or runs counts as failed."""
OWN_THREADS: Final = 4
"""Lookups that the daemon makes for itself at once."""

Lookup = Callable[[str], list[str]]


def _system(name: str) -> list[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Share:
    """One client's part of the threads."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(PER_CLIENT)
        self.waiting = 0
        self.running = 0


class Resolver:
    """Lookups for clients; lives in one event loop."""

    def __init__(self, lookup: Lookup = _system) -> None:
        self._lookup = lookup
        self._threads = asyncio.Semaphore(THREADS)
        self._shares: dict[Hashable, _Share] = {}

    async def addresses(self, client: Hashable, name: str) -> list[str]:
        """Addresses of a name, best first, at least one. Raises socket.gaierror."""
        share = self._shares.setdefault(client, _Share())
        if share.waiting >= WAITING:
            raise socket.gaierror(socket.EAI_AGAIN, "Too many names are being looked up for you")
        share.waiting += 1
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._in_turn(client, share, name)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "The name server does not answer") from None
        except UnicodeError as error:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from error
        finally:
            share.waiting -= 1
            self._forget(client, share)

    async def _in_turn(self, client: Hashable, share: _Share, name: str) -> list[str]:
        """A turn lasts as long as the thread, however soon nobody waits for it any more."""
        await share.turns.acquire()
        try:
            await self._threads.acquire()
        except BaseException:
            share.turns.release()
            raise
        share.running += 1

        def over() -> None:
            self._threads.release()
            share.turns.release()
            share.running -= 1
            self._forget(client, share)

        return await in_thread(lambda: self._lookup(name), over, "lookup")

    def _forget(self, client: Hashable, share: _Share) -> None:
        if not share.waiting and not share.running:
            self._shares.pop(client, None)


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose own lookups keep out of the threads of everything else."""

    _names: asyncio.Semaphore | None = None

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As asyncio's."""
        if self._names is None:
            self._names = asyncio.Semaphore(OWN_THREADS)
        await self._names.acquire()
        ask = socket.getaddrinfo
        return await in_thread(
            lambda: ask(host, port, family, type, proto, flags), self._names.release, "lookup"
        )
