"""A selector that looks a few times before it sleeps, and serves at once what it finds.

It needs epoll. How long it polls is decided in `busy_poll`. Besides selectors it relies on what
asyncio registers with one: a pair of handles, to read and to write, and what they keep, which
tests/unit/test_polling.py would miss.
"""
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001

import math
import os
import select
import selectors
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uptui.runtime.busy_poll import Pace

if TYPE_CHECKING:
    import asyncio

    from _typeshed import FileDescriptorLike

Ready = list[tuple[selectors.SelectorKey, int]]


class PollingSelector(selectors.EpollSelector):
    """An event loop's selector; it polls for as long as the pace says before it blocks.

    What it finds is served here and now, in place of the loop, which then goes on with whatever
    that has left it to do: the way through the loop costs a tenth of an answer.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._pace = pace
        self._clock = clock
        self._epoll = select.epoll.fromfd(os.dup(self.fileno()))
        """The same one, asked without making keys of its answer."""
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._took: float | None = None
        """Seconds of the last wait, which the pace learns of before the next: work waits now."""

    def register(
        self, fileobj: "FileDescriptorLike", events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """As selectors.BaseSelector.register."""
        key = super().register(fileobj, events, data)
        self._keys[key.fd] = key
        return key

    def modify(
        self, fileobj: "FileDescriptorLike", events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """As selectors.BaseSelector.modify."""
        key = super().modify(fileobj, events, data)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        """As selectors.BaseSelector.unregister."""
        key = super().unregister(fileobj)
        del self._keys[key.fd]
        return key

    def close(self) -> None:
        """As selectors.BaseSelector.close."""
        self._epoll.close()
        super().close()

    def select(self, timeout: float | None = None) -> Ready:
        """As selectors.BaseSelector.select, without what has been served."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        if self._took is not None:
            self._pace.waited(self._took)
            self._took = None
        budget = self._pace.budget()
        start = self._clock()
        found = self._poll(start + min(budget, timeout or budget)) if budget else []
        found = found or self._sleep(timeout)
        if budget is not None:
            self._took = self._clock() - start
        return self._serve(found)

    def _poll(self, until: float) -> list[tuple[int, int]]:
        """Descriptors and their events."""
        while True:
            found = self._epoll.poll(0)
            if found or self._clock() >= until:
                return found
            os.sched_yield()

    def _sleep(self, timeout: float | None) -> list[tuple[int, int]]:
        """The same, once there is something or `timeout` seconds are over."""
        try:
            return self._epoll.poll(None if timeout is None else math.ceil(1000 * timeout) / 1000)
        except InterruptedError:
            return []

    def _serve(self, found: list[tuple[int, int]]) -> Ready:
        """Run the readers; where there is anything else to do, the loop has to do it all."""
        readers: list[asyncio.Handle] = []
        for fd, event in found:
            key = self._keys.get(fd)
            if key is None or event != select.EPOLLIN:
                return super().select(0)
            readers.append(key.data[0])
        for reader in readers:
            if reader._cancelled:  # by one that ran before it
                continue
            try:
                reader._context.run(reader._callback, *reader._args)  # its `_run`, in fewer steps
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as asyncio does
                what = {"message": f"Exception in {reader!r}", "exception": error, "handle": reader}
                if reader._source_traceback:
                    what["source_traceback"] = reader._source_traceback
                reader._loop.call_exception_handler(what)
        return []
