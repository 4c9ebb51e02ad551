"""Acts about who is in: answer requests, kick, change roles, message, block, remember."""

from collections.abc import Awaitable

from uptui.errors import ApiError
from uptui.protocol.host_api import ClientView, EditPerson, Pending, PersonView
from uptui.screens.dialogs import Choice, Choose, Confirm, Prompt
from uptui.screens.host_calls import HostCalls
from uptui.widgets import formatting
from uptui.widgets.status import role_note

MAX_MESSAGE = 200
NOT_FOUND = 404


class AccessActions:
    """What `A`, `D`, `a`, `m`, `x` and `X` do."""

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    def oldest(self) -> Pending | None:
        """The request that `A` and `D` mean: the one that has been on the screen for a moment."""
        if self._calls.deaf:
            self._calls.say("Another request is shown now: look, then press again.")
            return None
        waiting = self._calls.view.pending
        if not waiting:
            self._calls.say("Nobody is waiting.")
        return waiting[0] if waiting else None

    async def approve(self, one: Pending) -> None:
        if await self._answer(self._calls.client.approve(one.id)):
            self._calls.say(f"{one.name or one.user} is in as {one.role}.")

    async def deny(self, one: Pending) -> None:
        if await self._answer(self._calls.client.deny(one.id)):
            self._calls.say(f"{one.name or one.user} was refused.")

    async def _answer(self, call: Awaitable[None]) -> bool:
        """False when nobody waits in that request any more, which is no error."""
        try:
            await call
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            self._calls.say("That request was answered already, or has gone.")
            return False
        return True

    async def review(self, one: Pending) -> None:
        """Everything known about a request, and every answer to it."""
        from uptui.screens.review import Review

        snapshot = self._calls.view.snapshot
        roles = snapshot.roles if snapshot is not None else []
        answer = await self._calls.ask(Review(one, roles or [one.role]))
        if answer is None:
            return
        who = answer.name or one.name or one.user
        if answer.approve:
            await self._calls.client.approve(
                one.id, role=answer.role, remember=answer.remember, name=answer.name or None
            )
            self._calls.say(f"{who} is in as {answer.role}.")
        else:
            await self._calls.client.deny(one.id, block=answer.block)
            self._calls.say(f"{who} was {'blocked' if answer.block else 'refused'}.")

    async def kick(self, client: ClientView, *, block: bool = False) -> None:
        verb = "Block" if block else "Kick"
        who = f"{client.name} ({self._calls.view.fingerprint(client.fingerprint, 12)})"
        consequence = (
            f"{who} loses {formatting.many(len(client.channels), 'channel')} at once; unsaved work "
            "in their own programs may be lost. "
            if client.channels
            else f"{who} has nothing open and is disconnected at once. "
        )
        consequence += (
            "Their key is refused from now on."
            if block
            else "They may come back by the same string."
        )
        if await self._calls.ask(Confirm(f"{verb} {client.name}?", consequence, verb)):
            await self._calls.client.kick(client.id, block=block)
            self._calls.say(f"{client.name} was {'blocked' if block else 'kicked'}.")

    async def kick_all(self) -> None:
        count = len(self._calls.view.clients)
        if not count:
            self._calls.say("Nobody is connected.")
            return
        consequence = (
            f"{formatting.many(count, 'client')} lose everything that runs in their channels. "
            "They may come back by the same string; R also makes a new one."
        )
        if await self._calls.ask(Confirm("Kick everybody?", consequence, "Kick all")):
            await self._calls.client.kick_all()
            self._calls.say("Everybody was kicked.")

    async def change_role(self, client: ClientView) -> None:
        role = await self._choose_role(f"Role of {client.name}", client.role)
        if role is None or role == client.role:
            return
        before = client.role
        await self._calls.client.change_role(client.id, role)
        self._calls.undoable(
            f"{client.name} is now {role}.",
            lambda: self._calls.client.change_role(client.id, before),
        )

    async def message(self, client: ClientView) -> None:
        text = await self._calls.ask(
            Prompt(
                f"Message to {client.name}",
                "One line, shown in their terminals.",
                problem=_message_problem,
                verb="Send",
            )
        )
        if text:
            await self._calls.client.say(client.id, text)
            self._calls.say(f"Sent to {client.name}.")

    async def rename(self, person: PersonView) -> None:
        name = await self._calls.ask(
            Prompt(
                "Rename",
                f"What to call {person.fingerprint} from now on.",
                value=person.name,
                problem=lambda value: None if value else "give a name",
            )
        )
        if name and name != person.name:
            before = person.name
            await self._calls.client.edit_person(person.fingerprint, EditPerson(name=name))
            self._calls.undoable(
                f"{before or 'They'} are now called {name}.",
                lambda: self._calls.client.edit_person(person.fingerprint, EditPerson(name=before)),
            )

    async def remembered_role(self, person: PersonView) -> None:
        role = await self._choose_role(f"Role of {person.name}", person.role)
        if role is not None and role != person.role:
            before = person.role
            await self._calls.client.edit_person(person.fingerprint, EditPerson(role=role))
            self._calls.undoable(
                f"{person.name} joins as {role} from now on.",
                lambda: self._calls.client.edit_person(person.fingerprint, EditPerson(role=before)),
            )

    async def block(self, person: PersonView) -> None:
        """Block, or unblock, a remembered key."""
        blocked = not person.blocked
        await self._calls.client.edit_person(person.fingerprint, EditPerson(blocked=blocked))
        self._calls.undoable(
            f"{person.name} is {'blocked' if blocked else 'no longer blocked'}.",
            lambda: self._calls.client.edit_person(
                person.fingerprint, EditPerson(blocked=not blocked)
            ),
        )

    async def forget(self, person: PersonView) -> None:
        consequence = (
            f"The key {self._calls.view.fingerprint(person.fingerprint, 12)} and its role "
            f"({person.role}) are forgotten; who comes with it next is unknown."
        )
        if await self._calls.ask(Confirm(f"Forget {person.name}?", consequence, "Forget")):
            await self._calls.client.forget_person(person.fingerprint)
            self._calls.say(f"{person.name} is forgotten.")

    async def _choose_role(self, title: str, current: str) -> str | None:
        snapshot = self._calls.view.snapshot
        roles = snapshot.roles if snapshot is not None else []
        choices = [Choice(role, role, role_note(role)) for role in roles]
        return await self._calls.ask(Choose(title, choices, current=current))


def _message_problem(value: str) -> str | None:
    if not value:
        return "write something"
    if len(value) > MAX_MESSAGE:
        return f"at most {MAX_MESSAGE} characters, not {len(value)}"
    return None
