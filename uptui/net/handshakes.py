"""Key exchanges take turns by source, so that a flood from one does not keep others waiting.

A key exchange computes for milliseconds before anybody has proved anything. Of one source only a
few are at work at a time; what the others have said waits unread.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

AT_WORK: Final = 8
"""Key exchanges of one source at the same time."""
PATIENCE: Final = 2.0
"""Seconds after which one that gets no further gives its place to the next."""


class Handshakes:
    """All of one server; lives in one event loop."""

    def __init__(self) -> None:
        self._at_work: Counter[str] = Counter()
        self._waiting: dict[str, deque[Turn]] = {}

    def turn(self, source: str) -> "Turn":
        """For one connection, which asks for its turn once it has something to be read."""
        return Turn(self, source)

    def take(self, turn: "Turn") -> None:
        """Let it go on, now or later."""
        if self._at_work[turn.source] < AT_WORK:
            self._at_work[turn.source] += 1
            turn.begin()
        else:
            self._waiting.setdefault(turn.source, deque()).append(turn)

    def give_back(self, source: str) -> None:
        """One has finished: the next of its source goes on, in the loop's next turn."""
        queue = self._waiting.get(source)
        while queue:
            turn = queue.popleft()
            if not queue:
                del self._waiting[source]
            if not turn.over:
                asyncio.get_running_loop().call_soon(turn.begin)
                return
        self._at_work[source] -= 1
        if self._at_work[source] <= 0:
            del self._at_work[source]


class Turn:
    """The place of one connection in the queue of its source."""

    def __init__(self, handshakes: Handshakes, source: str) -> None:
        self._handshakes = handshakes
        self.source = source
        self.asked = False
        self.begun = False
        self.over = False
        self._holds = False
        self._go: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def take(self, go: Callable[[], None]) -> None:
        """Call `go` when it is this connection's turn, perhaps at once."""
        self.asked, self._go = True, go
        self._handshakes.take(self)

    def begin(self) -> None:
        """It is its turn."""
        self.begun = self._holds = True
        if self.over:  # it vanished in the same turn of the loop
            self._release()
            return
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._release)
        go, self._go = self._go, None
        if go is not None:
            go()

    def finish(self) -> None:
        """The key exchange is done, or the connection gone; harmless when repeated."""
        self.over, self._go = True, None
        self._release()

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._holds:
            self._holds = False
            self._handshakes.give_back(self.source)
