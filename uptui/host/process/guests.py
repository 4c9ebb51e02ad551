"""The programs of guests: who had which one started, which go on without a client, how all end.

Every program carries a mark in its environment, which its descendants inherit even when they leave
process group, session and parent. Who clears the environment as well has left; this is no fence.
"""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from uptui.errors import ApiError
from uptui.host.process.processes import Process, families, named
from uptui.protocol.host_api import TerminalView
from uptui.protocol.names import ClientId, Fingerprint
from uptui.protocol.terminal import PROGRAM_PREFIX

MARK: Final = "UPTUI_PROGRAM"
"""Variable that names the program of ours that a process descends from."""
STEPS: Final = ((signal.SIGHUP, 2.0), (signal.SIGTERM, 8.0), (signal.SIGKILL, 2.0))
"""How programs are ended: a signal, and the seconds that they get until the next."""
FIRST_LOOK: Final = 0.05
"""Seconds until it is looked for the first time whether they have ended; then twice as long."""
MOST_LOOK: Final = 0.5
PERIOD: Final = 5.0
"""Seconds between two looks at what was left running."""
MAX_LEFT_EACH: Final = 32
"""Programs left running by one key; the one left longest is ended for a further one."""
HOST: Final = "the host"


@dataclass(eq=False)
class Run:
    """One program that was started for a guest, with all that it has started."""

    id: str
    key: Fingerprint
    client: ClientId
    name: str
    command: str
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    started_at: float = field(default_factory=time.time)
    pid: int = 0
    """0 before its start and after its end."""
    left_at: float | None = None
    """When its channel or terminal ended; None while somebody holds that."""
    ending: bool = False
    processes: list[Process] = field(default_factory=list[Process])
    """What was found running of it, once it was left."""

    def leave(self) -> None:
        """Nobody holds its channel or terminal any more; what goes on goes on by itself."""
        self.left_at = self.left_at or time.time()


def _unrecorded(event: str, text: str, key: str) -> None:
    del event, text, key


class Guests:
    """All runs of one daemon; lives in its loop."""

    def __init__(
        self,
        on_change: Callable[[], None] = lambda: None,
        note: Callable[[str, str, Fingerprint], None] = _unrecorded,
    ) -> None:
        """`note` puts (event, text, key) on record."""
        self._on_change = on_change
        self._note = note
        self._runs: dict[str, Run] = {}
        self._counter = 0
        self._ends: set[asyncio.Task[None]] = set()

    def begin(self, key: Fingerprint, client: ClientId, name: str, command: str) -> Run:
        """Register a program that is about to be started."""
        self._counter += 1
        made = Run(f"{PROGRAM_PREFIX}{self._counter}", key, client, name, command)
        self._runs[made.id] = made
        return made

    async def run(self) -> None:
        """Look at what was left running, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            await self.look()

    async def look(self) -> None:
        """Find what still runs of what was left, and forget the rest."""
        left = [run for run in self._runs.values() if run.left_at is not None and not run.ending]
        if not left:
            return
        found = await self._found(left)
        for run in left:
            new = not run.processes
            run.processes = found[run.id]
            if not run.processes:
                self._runs.pop(run.id, None)
            elif new:
                text = f"{run.command} goes on without its client: {named(run.processes)}"
                self._note("program.left", text, run.key)
        for run in left:
            self._bound(run.key)
        self._on_change()

    def snapshot(self) -> list[TerminalView]:
        """What was left running, for the host API."""
        return [_model(run) for run in self._left()]

    def end(self, run_id: str) -> None:
        """End what was left running. Raises ApiError when there is none by this id."""
        run = self._runs.get(run_id)
        if run is None or run.left_at is None:
            raise ApiError(404, "No such program", run_id)
        self._start_end([run], f"by {HOST}")

    def end_client(self, client: ClientId, key: Fingerprint) -> None:
        """Shown out: end all that it started, and what earlier clients of its key left."""
        self._start_end(
            [
                run
                for run in self._runs.values()
                if run.client == client or (run.key == key and run.left_at is not None)
            ],
            "with its client",
        )

    def end_key(self, key: Fingerprint) -> None:
        """Blocked: end all that this key has started."""
        self._start_end([run for run in self._runs.values() if run.key == key], "with its key")

    async def close(self) -> None:
        """The share ends, and all programs of guests with it."""
        self._start_end(self._runs.values(), "with the share")
        while self._ends:
            await asyncio.wait(self._ends)

    def _left(self) -> list[Run]:
        """Those that are known to run: their leader does, or a look has found others."""
        return [
            run
            for run in self._runs.values()
            if run.left_at is not None and not run.ending and (run.pid or run.processes)
        ]

    def _bound(self, key: Fingerprint) -> None:
        mine = [run for run in self._left() if run.key == key]
        mine.sort(key=lambda run: run.left_at or 0.0)
        self._start_end(mine[: max(0, len(mine) - MAX_LEFT_EACH)], "because of newer ones")

    def _start_end(self, runs: Iterable[Run], why: str) -> None:
        chosen = [run for run in runs if not run.ending]
        for run in chosen:
            run.ending = True
            if run.processes:
                self._note("program.ended", f"{run.command} is ended {why}", run.key)
        if chosen:
            task = asyncio.get_running_loop().create_task(self._end(chosen))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def _end(self, runs: list[Run]) -> None:
        loop = asyncio.get_running_loop()
        for number, patience in STEPS:
            told: set[Process] = set()
            until, pause = loop.time() + patience, FIRST_LOOK
            while loop.time() < until:
                alive = {one for found in (await self._found(runs)).values() for one in found}
                if not alive:
                    break
                for process in alive - told:
                    process.signal(number)
                told |= alive
                await asyncio.sleep(pause)
                pause = min(2 * pause, MOST_LOOK)
        for run in runs:
            self._runs.pop(run.id, None)
        self._on_change()

    async def _found(self, runs: Collection[Run]) -> dict[str, list[Process]]:
        marks = {run.mark: run.id for run in runs}
        leaders = {run.pid: run.id for run in runs if run.pid}
        found = await asyncio.to_thread(families, f"{MARK}=".encode(), marks, leaders, os.getpid())
        return {run.id: found.get(run.id, []) for run in runs}


def _model(run: Run) -> TerminalView:
    return TerminalView(
        id=run.id,
        kind="left",
        owner=run.name,
        title="",
        command=run.command,
        started_at=run.started_at,
        columns=0,
        rows=0,
        viewers=0,
        typists=0,
        detached_at=run.left_at,
    )
