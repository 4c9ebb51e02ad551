"""Who is connected, whom we remember, and which terminals are kept."""

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from uptui.protocol.host_api import ClientView, PersonView, TerminalView
from uptui.protocol.terminal import PROGRAM_PREFIX
from uptui.screens.actions import Actions
from uptui.screens.client_columns import CLIENTS, NOBODY
from uptui.screens.client_keys import ClientKeys
from uptui.widgets import formatting
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.view import View


def _seen(person: PersonView, view: View) -> str:
    if person.last_seen is None:
        return "never"
    return f"{formatting.span(view.now - person.last_seen)} ago"


def _state(person: PersonView, view: View) -> Content:
    if person.blocked:
        return Content.styled(f"{view.glyphs.down} blocked", "bold $error")
    return Content.styled(f"{view.glyphs.ok} known", "$good")


PEOPLE: Final[tuple[Column[PersonView], ...]] = (
    Column("who", lambda p, v: v.shown(p.name), lambda p: p.name.casefold(), 16, flexible=True),
    Column("role", lambda p, _: formatting.plain(p.role), lambda p: p.role, 9),
    Column("state", _state, lambda p: p.blocked, 9, drop=1),
    Column("key", lambda p, v: v.fingerprint(p.fingerprint), lambda p: p.fingerprint, 16, drop=3),
    Column("from", lambda p, v: v.shown(p.source), lambda p: p.source, 16, drop=4),
    Column("seen", _seen, lambda p: -(p.last_seen or 0), 9, drop=2, right=True),
)  # fmt: skip


def _ends(terminal: TerminalView, view: View) -> str:
    if terminal.kind == "left":
        return f"left running {formatting.span(view.now - (terminal.detached_at or view.now))} ago"
    if terminal.kind == "shared" or terminal.ends_at is None:
        watching = formatting.many(terminal.viewers, "viewer")
        return f"{watching}, recorded" if terminal.recording else watching
    return f"kept, ends in {formatting.span(terminal.ends_at - view.now)}"


def _size(terminal: TerminalView, _: View) -> str:
    return f"{terminal.columns}x{terminal.rows}" if terminal.columns else "-"


TERMINALS: Final[tuple[Column[TerminalView], ...]] = (
    Column("terminal", lambda t, _: t.kind, lambda t: t.kind, 8),
    Column("owner", lambda t, v: v.shown(t.owner), lambda t: t.owner, 12, drop=2),
    Column("runs", lambda t, v: v.shown(t.title or t.command), lambda t: t.title, 20,
           flexible=True),
    Column("size", _size, lambda t: t.columns, 8, drop=3),
    Column("state", _ends, lambda t: t.viewers, 22, drop=1),
)  # fmt: skip


class Clients(ClientKeys):
    """Three lists; the keys mean the one with the focus: `x` on a terminal ends it."""

    PLACE = "clients"
    KEYS = (
        ("kick", "Kick"),
        ("role", "Role"),
        ("message", "Message"),
        ("block", "Block"),
        ("forget", "Forget"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "rename", "Rename a remembered person", id="rename"),
        Binding("F", "forget", "Forget a remembered person", id="forget"),
        Binding("o", "app.act('record')", "Record the shared terminal, or stop", id="record"),
    ]

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.clients = ListPanel[ClientView](
            "Clients", CLIENTS, identify=lambda client: client.id, empty=NOBODY, id="clients"
        )
        self.people = ListPanel[PersonView](
            "Known people", PEOPLE, identify=lambda person: person.fingerprint,
            empty="Nobody is remembered. Approve somebody with 'always' to remember their key.",
            id="people",
        )  # fmt: skip
        self.terminals = ListPanel[TerminalView](
            "Terminals", TERMINALS, identify=lambda terminal: terminal.id,
            empty="No shared terminal yet: press t to start and join it.", id="terminals",
        )  # fmt: skip
        self.panels = (self.clients, self.people, self.terminals)

    def compose_body(self) -> ComposeResult:
        yield self.clients
        yield self.people
        yield self.terminals

    @property
    def client(self) -> ClientView | None:
        return self.clients.selected

    @property
    def person(self) -> PersonView | None:
        """The remembered person that the keys mean, when that list has the focus."""
        panel = self.people
        return panel.selected if panel.has_focus_within else None

    def show(self, view: View) -> None:
        snapshot = view.snapshot
        if snapshot is None:
            return
        self.clients.show(snapshot.clients, view)
        self.people.show(snapshot.people, view)
        self.terminals.show(snapshot.terminals, view)

    def action_kick(self) -> None:
        terminal = self.terminals.selected if self.terminals.has_focus_within else None
        if terminal is None:
            super().action_kick()
        else:
            self.actions.calls.start(self.actions.sharing.end_terminal(terminal))

    def action_role(self) -> None:
        person = self.person
        if person is None:
            super().action_role()
        else:
            self.actions.calls.start(self.actions.access.remembered_role(person))

    def action_block(self) -> None:
        person = self.person
        if person is None:
            super().action_block()
        else:
            self.actions.calls.start(self.actions.access.block(person))

    def action_rename(self) -> None:
        person = self.person
        if person is None:
            self.actions.calls.say("Select somebody among the known people (Tab goes there).")
        else:
            self.actions.calls.start(self.actions.access.rename(person))

    def action_forget(self) -> None:
        person = self.person
        if person is None:
            self.actions.calls.say("Select somebody among the known people (Tab goes there).")
        else:
            self.actions.calls.start(self.actions.access.forget(person))

    @on(ListPanel.Opened, "#clients")
    def _opened(self, event: ListPanel.Opened) -> None:
        self.actions.calls.open_client(event.key)

    @on(ListPanel.Opened, "#people")
    def _person_opened(self) -> None:
        self.action_role()

    @on(ListPanel.Opened, "#terminals")
    def _terminal_opened(self, event: ListPanel.Opened) -> None:
        if event.key.startswith(PROGRAM_PREFIX):
            self.actions.calls.say("This program has no terminal to join; x ends it.")
        else:
            self.actions.calls.join_terminal(event.key)
