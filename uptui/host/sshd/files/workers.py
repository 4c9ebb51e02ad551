"""Threads for file systems that take their time, shared so that no client waits for another's work.

Each client has one thread whenever it needs one, and up to PER_CLIENT while there are some to
spare. What is more waits in the client's own queue. A file system that hangs keeps its threads;
they are its client's alone. Work that never waits for a disk long enough to let others compute is
bulk: one thread of it per client, or a few sessions would take all processors.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from uptui.host.sshd.files.handles import OpenHandles
from uptui.runtime.threads import in_thread

PER_CLIENT: Final = 4
"""Threads that one client may have at once, however many sessions and connections it has."""
TO_SPARE: Final = 32
"""Threads beyond the first of each client, all clients' together."""

T = TypeVar("T")


@dataclass
class _Job:
    work: Callable[[], Any]
    done: "asyncio.Future[Any]"
    bulk: bool


class ClientQueue:
    """One client's part; kept alive by its sessions."""

    def __init__(self, workers: "FileWorkers") -> None:
        self._workers = workers
        self.queue: deque[_Job] = deque()
        self.running = 0
        self.held = OpenHandles()
        self.bulk = False
        """Whether bulk work is among what runs."""

    def run(self, work: Callable[[], T], *, bulk: bool = False) -> "asyncio.Future[T]":
        """The result of `work`, done in a thread when it is its turn.

        Also when nobody waits for the result any more: only what has not begun can be cancelled.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.queue.append(_Job(work, done, bulk))
        self._workers.queued(self)
        return done

    def take(self) -> _Job | None:
        """The first job that may run now."""
        for number, job in enumerate(self.queue):
            if not (job.bulk and self.bulk):
                del self.queue[number]
                return job
        return None


class FileWorkers:
    """All clients' threads; lives in one event loop."""

    def __init__(self) -> None:
        self._shares: WeakValueDictionary[Hashable, ClientQueue] = WeakValueDictionary()
        self._waiting: deque[ClientQueue] = deque()
        """Those with something in their queue, the next one first."""
        self._spare = TO_SPARE

    def of(self, client: Hashable) -> ClientQueue:
        """The share of whoever holds this key."""
        return self._shares.setdefault(client, ClientQueue(self))

    def queued(self, share: ClientQueue) -> None:
        """Something is in its queue."""
        if share not in self._waiting:
            self._waiting.append(share)
        self._fill()

    def _fill(self) -> None:
        """Begin what may begin, one job of each client in turn."""
        for _ in range(len(self._waiting)):
            share = self._waiting.popleft()
            job = share.take() if self._may_run(share) else None
            if job is not None:
                self._begin(share, job)
            if share.queue:
                self._waiting.append(share)

    def _may_run(self, share: ClientQueue) -> bool:
        return not share.running or (share.running < PER_CLIENT and self._spare > 0)

    def _begin(self, share: ClientQueue, job: _Job) -> None:
        if job.done.cancelled():
            return
        self._spare -= share.running > 0
        share.running += 1
        share.bulk |= job.bulk

        def over() -> None:
            share.running -= 1
            share.bulk &= not job.bulk
            self._spare += share.running > 0
            self._fill()

        in_thread(job.work, over, "files").add_done_callback(lambda end: _settle(job.done, end))


def _settle(done: "asyncio.Future[Any]", end: "asyncio.Future[Any]") -> None:
    error = end.exception()
    if done.cancelled():
        return
    if error is None:
        done.set_result(end.result())
    else:
        done.set_exception(error)
