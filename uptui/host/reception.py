"""The Gate: lets core.share decide and carries out what follows, on connections, disk and record.

Everything happens on the event loop's thread; each method first changes the share and then carries
its effects in order, so no two decisions ever overlap.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from uptui.core.access import Arrival, Grant
from uptui.core.events import (
    Apply,
    Banish,
    Dirty,
    Disconnect,
    Document,
    Effect,
    LetIn,
    Record,
    RoutesChanged,
    Scalar,
    StopSharing,
    Tell,
    TurnAway,
)
from uptui.core.keys import AuthorizedKey
from uptui.core.policies import Presence
from uptui.core.share import Share
from uptui.core.share_state import ShareSettings
from uptui.core.text import clean
from uptui.core.traffic import Meter
from uptui.errors import RefusedError, StateError
from uptui.host.eventlog import EventLog
from uptui.host.gate import GAVE_UP, Guest, GuestReport
from uptui.host.memory import Memory
from uptui.protocol.host_api import Level
from uptui.protocol.names import ClientId, Fingerprint

TICK: Final = 1.0
"""Seconds between looks at clocks, meters and policies."""
MAX_DATA: Final = 16
"""Values kept of what a note carries beside its text."""
MAX_VALUE: Final = 2000
"""Characters kept of one such value, such as a command line."""

DISCONNECTED: Final = "The host disconnected you."


def _nothing() -> None:
    return None


def _no_stop(reason: str) -> None:
    del reason


def _keep_nothing(fingerprint: Fingerprint) -> None:
    del fingerprint


@dataclass
class Hooks:
    """Whom Reception tells; each is called on the loop and must return at once."""

    routes_changed: Callable[[], None] = _nothing
    """Token, alias or invites are others now: publish again."""
    changed: Callable[[], None] = _nothing
    """Something that the snapshot shows has changed."""
    stop: Callable[[str], None] = _no_stop
    """A policy ends the share; the text is the reason."""
    banished: Callable[[Fingerprint], None] = _keep_nothing
    """A key was blocked: what it left running ends."""


@dataclass
class _Seat:
    """A live connection, whatever has been decided about it."""

    guest: Guest
    answer: asyncio.Future[Grant] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Reception:
    """A host.gate.Gate over one Share."""

    def __init__(
        self,
        share: Share,
        log: EventLog,
        memory: Memory,
        *,
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.share = share
        self.log = log
        self.hooks = hooks or Hooks()
        self.total = Meter()
        """Everybody's bytes together, those of clients that left included."""
        self.clock = clock
        self._memory = memory
        self._seats: dict[ClientId, _Seat] = {}
        self._dirty: set[Document] = set()
        self.unsaved = ""
        """Why the state is not on disk as it should be; empty when it is."""
        self.carry()

    # host.gate.Gate

    def screen(self, arrival: Arrival) -> bool:
        """Whether this key may authenticate at all."""
        allowed = self.share.door.screen(arrival, self.clock())
        self.carry()
        return allowed

    async def admit(self, arrival: Arrival, guest: Guest) -> Grant:
        """Decide, waiting for a person if need be. Raises RefusedError."""
        seat = self._seats[arrival.client_id] = _Seat(guest)
        guest.meter.parents = (*guest.meter.parents, self.total)
        self.share.door.arrive(arrival, self.clock())
        self.carry()
        await seat.answer
        client = self.share.state.roster.get(arrival.client_id)
        if client is None:
            raise RefusedError(DISCONNECTED)
        return client.grant

    def wants(self, client_id: ClientId, what: str) -> None:
        """A client that still waits asks for something."""
        self.share.door.wants(client_id, what)
        self.hooks.changed()

    def note(
        self, client_id: ClientId, event: str, text: str, *, level: Level = "info", **data: object
    ) -> None:
        """Put on record what a connection did; text and values are cleaned here."""
        kept = {key: _scalar(value) for key, value in islice(data.items(), MAX_DATA)}
        state, now = self.share.state, self.clock()
        client = state.roster.get(client_id)
        if client is not None:
            record = state.about(client, now, event, text, level, **kept)
        else:
            text = clean(text, MAX_VALUE)
            record = Record(now, event, text, level, client_id, data=kept)
        self.log.append(record)
        self.hooks.changed()

    def left(self, client_id: ClientId, reason: str) -> None:
        """The connection is gone."""
        seat = self._seats.pop(client_id, None)
        if seat is not None and not seat.answer.done():
            seat.answer.cancel()
        gave_up = reason == GAVE_UP
        self.share.door.leave(client_id, reason, self.clock(), gave_up=gave_up)
        self.carry()

    # The daemon

    async def run(self) -> None:
        """Tick every second until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.tick()

    def tick(self) -> None:
        """Close a second of the meters, then let time act on the share."""
        for seat in self._seats.values():
            seat.guest.meter.tick()
        self.total.tick()
        self.share.tick(self.clock(), self.presences())
        self.carry()
        self.save()
        if self.log.check() is not None:
            self.hooks.changed()

    def configure(self, settings: ShareSettings) -> None:
        """Use other settings from now on."""
        self.share.configure(settings, self.clock())
        self.carry()

    def authorize(self, keys: Mapping[Fingerprint, AuthorizedKey]) -> None:
        """Replace the keys that files and services list."""
        self.share.authorize(keys)

    def record(self, event: str, text: str, *, level: Level = "info", **data: Scalar) -> None:
        """Put on record what concerns no client, such as the relay."""
        self.share.state.record(self.clock(), event, text, level, **data)
        self.carry()

    def close(self, message: str) -> None:
        """Disconnect everybody and save everything; the share ends or the daemon stops."""
        for client_id, seat in list(self._seats.items()):
            if not seat.answer.done():
                self._answer(TurnAway(client_id, message))
            seat.guest.disconnect(message)
        self.carry()
        self.save()

    def reports(self) -> dict[ClientId, tuple[Guest, GuestReport]]:
        """What each client that is in is doing now."""
        return {
            client_id: (seat.guest, seat.guest.report())
            for client_id, seat in self._seats.items()
            if client_id in self.share.state.roster
        }

    def presences(self) -> list[Presence]:
        """Whether each client that is in is at work now."""
        roster = self.share.state.roster
        return [seat.guest.presence() for key, seat in self._seats.items() if key in roster]

    def carry(self) -> None:
        """Carry out what the share has decided since the last call."""
        effects = self.share.drain()
        while effects:
            for effect in effects:
                self._carry_one(effect)
            effects = self.share.drain()
        if self._dirty - {"people"}:
            self.save()
        self.hooks.changed()

    def save(self) -> None:
        """Write what has changed; a failure is on record once and tried again at the next tick."""
        for document in sorted(self._dirty):
            try:
                self._memory.save(self.share, document)
            except StateError as error:
                self._note_save_problem(str(error))
                return
            self._dirty.discard(document)
        if self.unsaved:
            self.unsaved = ""
            self.log.append(Record(self.clock(), "state.saved", "the state is saved again"))

    def _note_save_problem(self, problem: str) -> None:
        if self.unsaved:
            return
        self.unsaved = problem
        text = clean(f"the state cannot be saved: {problem}", MAX_VALUE)
        self.log.append(Record(self.clock(), "state.failed", text, "error"))

    def _carry_one(self, effect: Effect) -> None:
        match effect:
            case Record():
                self.log.append(effect)
            case LetIn() | TurnAway():
                self._answer(effect)
            case Apply(client_id, grant):
                self._reach(client_id, lambda guest: guest.apply(grant))
            case Disconnect(client_id, message):
                self._reach(client_id, lambda guest: guest.disconnect(message))
            case Banish(fingerprint):
                self.hooks.banished(fingerprint)
            case Tell(client_id, text):
                self._reach(client_id, lambda guest: guest.notify(text))
            case RoutesChanged():
                self.hooks.routes_changed()
            case Dirty(document):
                self._dirty.add(document)
            case StopSharing(reason):
                self.hooks.stop(reason)

    def _answer(self, answer: LetIn | TurnAway) -> None:
        seat = self._seats.get(answer.client_id)
        if seat is None or seat.answer.done():
            return
        if isinstance(answer, LetIn):
            seat.answer.set_result(answer.grant)
        else:
            seat.answer.set_exception(RefusedError(answer.message))

    def _reach(self, client_id: ClientId, act: Callable[[Guest], None]) -> None:
        seat = self._seats.get(client_id)
        if seat is not None:
            act(seat.guest)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(str(value), MAX_VALUE)
