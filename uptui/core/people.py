"""Remembers collaborators by key: what to call them, what they may do, when they came, blocks."""

from typing import Final

import msgspec

from uptui.protocol import host_api
from uptui.protocol.names import Fingerprint
from uptui.text import MAX_LINE, clean, clean_name

MAX_PASSERS_BY: Final = 500
"""People remembered without a role or a block; beyond that the one seen longest ago goes."""
MAX_PEOPLE: Final = 5000
"""People remembered with a role or a block."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with a key. An empty role means: known by name, but asked about each time."""

    fingerprint: Fingerprint
    key: str
    name: str
    role: str = ""
    blocked: bool = False
    source: str = ""
    first_seen: float | None = None
    last_seen: float | None = None

    @property
    def matters(self) -> bool:
        """Whether forgetting this person would let somebody in or keep somebody out."""
        return bool(self.role) or self.blocked


class PeopleFullError(Exception):
    """MAX_PEOPLE are remembered already."""


class People:
    """Everybody the host remembers, by fingerprint."""

    def __init__(self, known: list[Person] | None = None) -> None:
        self._by_fingerprint = {person.fingerprint: person for person in known or []}

    def get(self, fingerprint: str) -> Person | None:
        return self._by_fingerprint.get(Fingerprint(fingerprint))

    def all(self) -> list[Person]:
        """Everybody, the most recently seen first."""
        return sorted(self._by_fingerprint.values(), key=lambda p: (-(p.last_seen or 0.0), p.name))

    def put(self, person: Person) -> Person:
        """Remember `person`, with name and source cleaned. Raises PeopleFullError."""
        person = msgspec.structs.replace(
            person, name=clean_name(person.name), source=clean(person.source, MAX_LINE)
        )
        old = self._by_fingerprint.get(person.fingerprint)
        if person.matters and not (old is not None and old.matters):
            self._check_room()
        self._by_fingerprint[person.fingerprint] = person
        if not person.matters:
            self._drop_passers_by()
        return person

    def seen(self, fingerprint: Fingerprint, key: str, name: str, source: str, now: float) -> None:
        """Note that this key was here; somebody new is remembered by name only."""
        old = self._by_fingerprint.get(fingerprint)
        if old is None:
            old = Person(fingerprint=fingerprint, key=key, name=name, source=source, first_seen=now)
        first = now if old.first_seen is None else old.first_seen
        self.put(msgspec.structs.replace(old, first_seen=first, last_seen=now))

    def forget(self, fingerprint: str) -> Person | None:
        """Drop somebody, block and role included."""
        return self._by_fingerprint.pop(Fingerprint(fingerprint), None)

    def _check_room(self) -> None:
        if sum(person.matters for person in self._by_fingerprint.values()) >= MAX_PEOPLE:
            raise PeopleFullError(
                f"{MAX_PEOPLE} people with a role or a block are remembered already; "
                "forget some of them first"
            )

    def _drop_passers_by(self) -> None:
        passers = [p for p in self._by_fingerprint.values() if not p.matters]
        passers.sort(key=lambda p: p.last_seen or 0.0)
        for person in passers[: max(0, len(passers) - MAX_PASSERS_BY)]:
            del self._by_fingerprint[person.fingerprint]


def person_model(person: Person) -> host_api.PersonView:
    """How the host API shows a person."""
    return host_api.PersonView(
        fingerprint=person.fingerprint,
        key=person.key,
        name=person.name,
        role=person.role,
        blocked=person.blocked,
        source=person.source,
        first_seen=person.first_seen,
        last_seen=person.last_seen,
    )
