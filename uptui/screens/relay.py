"""The link to the relay: how it is, why it broke, which names are ours, and a test of the way."""

from collections.abc import Awaitable
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from uptui.protocol.host_aliases import AliasView
from uptui.protocol.host_api import Check, ReconnectEntry
from uptui.screens.actions import Actions
from uptui.screens.base import HostScreen
from uptui.widgets import formatting
from uptui.widgets.divider import Divider
from uptui.widgets.link import Checklist, LinkDiagram
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.view import View

ALIASES: Final[tuple[Column[AliasView], ...]] = (
    Column("alias", lambda a, v: v.shown(a.name), lambda a: a.name, 16, flexible=True),
    Column("port", lambda a, _: "-" if a.port is None else str(a.port), lambda a: a.port or 0, 6),
    Column(
        "state",
        lambda a, v: f"{v.glyphs.up} served here" if a.serving
        else f"{v.glyphs.retry} elsewhere" if a.online else f"{v.glyphs.skipped} idle",
        lambda a: a.serving, 13,
    ),
    Column("kept until", lambda a, _: formatting.day(a.expires_at)[:10], lambda a: a.expires_at, 10,
           drop=1),
)  # fmt: skip

RECONNECTS: Final[tuple[Column[ReconnectEntry], ...]] = (
    Column("when", lambda r, _: formatting.day(r.at), lambda r: r.at, 16),
    Column("why", lambda r, v: v.shown(r.reason), lambda r: r.reason, 30, flexible=True),
    Column("lasted", lambda r, _: "still" if r.lasted is None else formatting.span(r.lasted),
           lambda r: r.lasted or 0, 7, right=True),
)  # fmt: skip


class RelayScreen(HostScreen):
    """Link diagram, aliases, reconnects, and the connection test."""

    PLACE = "relay"
    KEYS = (
        ("test", "Test"),
        ("claim", "Claim alias"),
        ("release", "Release"),
        ("reconnect", "Reconnect"),
        ("back", "Back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "test", "Test the connection", id="test"),
        Binding("n", "claim", "Claim or change the alias", id="claim"),
        Binding("x,delete", "release", "Release the selected alias", id="release"),
        Binding("g", "reconnect", "Reconnect to the relay now", id="reconnect"),
    ]

    class Aliases(Message):
        """The relay said which aliases are ours."""

        def __init__(self, aliases: list[AliasView]) -> None:
            super().__init__()
            self.aliases = aliases

    class Tested(Message):
        """A connection test has ended."""

        def __init__(self, checks: list[Check]) -> None:
            super().__init__()
            self.checks = checks

    _owned: tuple[AliasView, ...] = ()
    _was_up = False

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.aliases = ListPanel[AliasView](
            "Aliases", ALIASES, identify=lambda alias: alias.name,
            empty="No alias. Press n to claim a name that stays through restarts and rebuilds.",
            id="aliases",
        )  # fmt: skip
        self.reconnects = ListPanel[ReconnectEntry](
            "Reconnects", RECONNECTS, identify=lambda entry: str(entry.at),
            empty="The link has not been lost.", sort_by="when", reverse=True, id="reconnects",
        )  # fmt: skip
        self.panels = (self.aliases, self.reconnects)

    def compose_body(self) -> ComposeResult:
        yield Divider("Link", id="link-divider")
        yield LinkDiagram()
        yield self.aliases
        yield self.reconnects
        yield Divider("Connection test", "T test", id="test-divider")
        yield Checklist()

    def on_screen_resume(self) -> None:
        self._was_up = False
        super().on_screen_resume()

    def _ask_once_up(self, *, up: bool) -> None:
        """A relay that is away is not asked: its state is on the screen already."""
        if up and not self._was_up:
            self.actions.calls.start(self._load())
        self._was_up = up

    async def _load(self) -> None:
        self.post_message(self.Aliases(await self.actions.calls.client.aliases()))

    @on(Aliases)
    def _got_aliases(self, event: Aliases) -> None:
        self._owned = tuple(event.aliases)
        self.take(self.actions.calls.view)

    @on(Tested)
    def _got_checks(self, event: Tested) -> None:
        checklist = self.query_one(Checklist)
        checklist.running = False
        checklist.checks = tuple(event.checks)

    def show(self, view: View) -> None:
        snapshot = view.snapshot
        if snapshot is not None:
            self._ask_once_up(up=snapshot.relay.status == "up")
            self.aliases.show(self._owned, view)
            self.reconnects.show(snapshot.relay.reconnects, view)

    def action_test(self) -> None:
        self.query_one(Checklist).running = True
        self.actions.calls.start(self._test())

    async def _test(self) -> None:
        checks: list[Check] = []
        try:
            checks = await self.actions.calls.client.doctor()
        finally:
            self.post_message(self.Tested(checks))

    def action_claim(self) -> None:
        self.actions.calls.start(self._then_load(self.actions.sharing.claim_alias()))

    def action_release(self) -> None:
        panel = self.aliases
        if panel.selected is None:
            self.actions.calls.say("No alias is selected.")
            return
        self.actions.calls.start(
            self._then_load(self.actions.sharing.release_alias(panel.selected))
        )

    async def _then_load(self, act: Awaitable[None]) -> None:
        await act
        await self._load()

    def action_reconnect(self) -> None:
        self.actions.calls.start(self.actions.sharing.reconnect())
