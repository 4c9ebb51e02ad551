"""Who is connected, whom we remember, and which terminals are kept."""

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from uptui.protocol.host_api import Client, Person, Terminal
from uptui.screens.acts import Acts
from uptui.screens.client_columns import CLIENTS, NOBODY
from uptui.screens.client_keys import ClientKeys
from uptui.widgets import words
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.view import View


def _seen(person: Person, view: View) -> str:
    if person.last_seen is None:
        return "never"
    return f"{words.span(view.now - person.last_seen)} ago"


def _state(person: Person, view: View) -> Content:
    if person.blocked:
        return Content.styled(f"{view.glyphs.down} blocked", "bold $error")
    return Content.styled(f"{view.glyphs.ok} known", "$good")


PEOPLE: Final[tuple[Column[Person], ...]] = (
    Column("who", lambda p, v: v.shown(p.name), lambda p: p.name.casefold(), 16, flexible=True),
    Column("role", lambda p, _: words.plain(p.role), lambda p: p.role, 9),
    Column("state", _state, lambda p: p.blocked, 9, drop=1),
    Column("key", lambda p, v: v.fingerprint(p.fingerprint), lambda p: p.fingerprint, 16, drop=3),
    Column("from", lambda p, v: v.shown(p.source), lambda p: p.source, 16, drop=4),
    Column("seen", _seen, lambda p: -(p.last_seen or 0), 9, drop=2, right=True),
)  # fmt: skip


def _ends(terminal: Terminal, view: View) -> str:
    if terminal.kind == "shared" or terminal.ends_at is None:
        watching = words.many(terminal.viewers, "viewer")
        return f"{watching}, recorded" if terminal.recording else watching
    return f"kept, ends in {words.span(terminal.ends_at - view.now)}"


TERMINALS: Final[tuple[Column[Terminal], ...]] = (
    Column("terminal", lambda t, _: t.kind, lambda t: t.kind, 8),
    Column("owner", lambda t, v: v.shown(t.owner), lambda t: t.owner, 12, drop=2),
    Column("runs", lambda t, v: v.shown(t.title or t.command), lambda t: t.title, 20,
           flexible=True),
    Column("size", lambda t, _: f"{t.columns}x{t.rows}", lambda t: t.columns, 8, drop=3),
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

    def __init__(self, acts: Acts) -> None:
        super().__init__(acts)
        self.clients = ListPanel[Client](
            "Clients", CLIENTS, identify=lambda client: client.id, empty=NOBODY, id="clients"
        )
        self.people = ListPanel[Person](
            "Known people", PEOPLE, identify=lambda person: person.fingerprint,
            empty="Nobody is remembered. Approve somebody with 'always' to remember their key.",
            id="people",
        )  # fmt: skip
        self.terminals = ListPanel[Terminal](
            "Terminals", TERMINALS, identify=lambda terminal: terminal.id,
            empty="No shared terminal yet: press t to start and join it.", id="terminals",
        )  # fmt: skip
        self.panels = (self.clients, self.people, self.terminals)

    def compose_body(self) -> ComposeResult:
        yield self.clients
        yield self.people
        yield self.terminals

    @property
    def client(self) -> Client | None:
        return self.clients.selected

    @property
    def person(self) -> Person | None:
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
            self.acts.desk.start(self.acts.sharing.end_terminal(terminal))

    def action_role(self) -> None:
        person = self.person
        if person is None:
            super().action_role()
        else:
            self.acts.desk.start(self.acts.access.remembered_role(person))

    def action_block(self) -> None:
        person = self.person
        if person is None:
            super().action_block()
        else:
            self.acts.desk.start(self.acts.access.block(person))

    def action_rename(self) -> None:
        person = self.person
        if person is None:
            self.acts.desk.say("Select somebody among the known people (Tab goes there).")
        else:
            self.acts.desk.start(self.acts.access.rename(person))

    def action_forget(self) -> None:
        person = self.person
        if person is None:
            self.acts.desk.say("Select somebody among the known people (Tab goes there).")
        else:
            self.acts.desk.start(self.acts.access.forget(person))

    @on(ListPanel.Opened, "#clients")
    def _opened(self, event: ListPanel.Opened) -> None:
        self.acts.desk.open_client(event.key)

    @on(ListPanel.Opened, "#people")
    def _person_opened(self) -> None:
        self.action_role()

    @on(ListPanel.Opened, "#terminals")
    def _terminal_opened(self) -> None:
        self.acts.desk.join_terminal()
