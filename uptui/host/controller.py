"""Lets core.share decide and carries out what follows, on connections, disk and record.

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
from uptui.core.traffic import Meter
from uptui.errors import RefusedError, StateError
from uptui.host.sshd.access_control import GAVE_UP, Guest, GuestReport, Screening
from uptui.host.storage.documents import Memory
from uptui.host.storage.event_log import EventLog
from uptui.protocol.host_api import Level
from uptui.protocol.names import ClientId, Fingerprint
from uptui.text import clean

TICK: Final = 1.0
"""Seconds between looks at clocks, meters and policies."""
CLOCK_MOVED: Final = 5.0
"""Seconds by which the clock may be put right without a word."""
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
class ControllerHooks:
    """Whom the controller tells; each is called on the loop and must return at once."""

    routes_changed: Callable[[], None] = _nothing
    """Token, alias or invites are others now: publish again."""
    changed: Callable[[], None] = _nothing
    """Something that the snapshot shows has changed."""
    stop: Callable[[str], None] = _no_stop
    """A policy ends the share; the text is the reason."""
    banished: Callable[[Fingerprint], None] = _keep_nothing
    """A key was blocked: what it left running ends."""


@dataclass
class _Connected:
    """A live connection, whatever has been decided about it."""

    guest: Guest
    answer: asyncio.Future[Grant] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Controller:
    """The AccessControl of one Share."""

    def __init__(
        self,
        share: Share,
        log: EventLog,
        memory: Memory,
        *,
        hooks: ControllerHooks | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` may be set, `steady` only goes on; together they show that it was."""
        self.share = share
        self.log = log
        self.hooks = hooks or ControllerHooks()
        self.total = Meter()
        """Everybody's bytes together, those of clients that left included."""
        self.clock = clock
        self._steady = steady
        self._ahead = clock() - steady()
        self._memory = memory
        self._attachments: dict[ClientId, _Connected] = {}
        self._dirty: set[Document] = set()
        self.unsaved = ""
        """Why the state is not on disk as it should be; empty when it is."""
        self.carry()

    # sshd.access_control.AccessControl

    def screen(self, arrival: Arrival) -> Screening:
        """Whether this key may authenticate."""
        screening = self.share.admission.screen(arrival, self.clock())
        self.carry()
        return screening

    def knock(self, arrival: Arrival) -> None:
        """A client proved a key that was to come later, and left with no other."""
        self.share.admission.knock(arrival, self.clock())
        self.carry()

    async def admit(self, arrival: Arrival, guest: Guest) -> Grant:
        """Decide, waiting for a person if need be. Raises RefusedError."""
        attachment = self._attachments[arrival.client_id] = _Connected(guest)
        guest.meter.parents = (*guest.meter.parents, self.total)
        self.share.admission.arrive(arrival, self.clock())
        self.carry()
        await attachment.answer
        client = self.share.state.connected.get(arrival.client_id)
        if client is None:
            raise RefusedError(DISCONNECTED)
        return client.grant

    def wants(self, client_id: ClientId, what: str) -> None:
        """A client that still waits asks for something."""
        self.share.admission.wants(client_id, what)
        self.hooks.changed()

    def note(
        self, client_id: ClientId, event: str, text: str, *, level: Level = "info", **data: object
    ) -> None:
        """Put on record what a connection did; text and values are cleaned here."""
        kept = {key: _scalar(value) for key, value in islice(data.items(), MAX_DATA)}
        state, now = self.share.state, self.clock()
        client = state.connected.get(client_id)
        if client is not None:
            record = state.about(client, now, event, text, level, **kept)
        else:
            text = clean(text, MAX_VALUE)
            record = Record(now, event, text, level, client_id, data=kept)
        self.log.append(record)
        self.hooks.changed()

    def left(self, client_id: ClientId, reason: str) -> None:
        """The connection is gone."""
        attachment = self._attachments.pop(client_id, None)
        if attachment is not None and not attachment.answer.done():
            attachment.answer.cancel()
        gave_up = reason == GAVE_UP
        self.share.admission.leave(client_id, reason, self.clock(), gave_up=gave_up)
        self.carry()

    # The daemon

    async def run(self) -> None:
        """Tick every second until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.tick()

    def tick(self) -> None:
        """Close a second of the meters, then let time act on the share."""
        for attachment in self._attachments.values():
            attachment.guest.meter.tick()
        self.total.tick()
        self._watch_clock()
        self.share.tick(self.clock(), self.presences())
        self.log.check()
        self.carry()
        self.save()

    def _watch_clock(self) -> None:
        ahead = self.clock() - self._steady()
        moved, self._ahead = ahead - self._ahead, ahead
        if abs(moved) >= CLOCK_MOVED:
            self.share.clock_moved(moved, self.clock())

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
        for client_id, attachment in list(self._attachments.items()):
            if not attachment.answer.done():
                self._answer(TurnAway(client_id, message))
            attachment.guest.disconnect(message)
        self.carry()
        self.save()

    def reports(self) -> dict[ClientId, tuple[Guest, GuestReport]]:
        """What each client that is in is doing now."""
        return {
            client_id: (attachment.guest, attachment.guest.report())
            for client_id, attachment in self._attachments.items()
            if client_id in self.share.state.connected
        }

    def presences(self) -> list[Presence]:
        """Whether each client that is in is at work now."""
        connected = self.share.state.connected
        return [
            attachment.guest.presence()
            for key, attachment in self._attachments.items()
            if key in connected
        ]

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
        attachment = self._attachments.get(answer.client_id)
        if attachment is None or attachment.answer.done():
            return
        if isinstance(answer, LetIn):
            attachment.answer.set_result(answer.grant)
        else:
            attachment.answer.set_exception(RefusedError(answer.message))

    def _reach(self, client_id: ClientId, act: Callable[[Guest], None]) -> None:
        attachment = self._attachments.get(client_id)
        if attachment is not None:
            act(attachment.guest)


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(str(value), MAX_VALUE)
