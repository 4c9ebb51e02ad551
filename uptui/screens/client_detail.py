"""One client in full: who, how verified, what they have open, what they move."""

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from uptui.protocol.host_api import ChannelView, ClientView, LogEntry, Transfer
from uptui.protocol.names import ClientId
from uptui.screens.actions import Actions
from uptui.screens.client_keys import ClientKeys
from uptui.widgets import formatting
from uptui.widgets.divider import Divider
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.status import level_mark, role_style
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, joined, lines, spread


def _doing(channel: ChannelView, view: View) -> str:
    detail = view.shown(channel.detail)
    held = view.shown(channel.held_by)
    return f"{detail} (ended; {held} holds its output)" if held else detail


CHANNELS: Final[tuple[Column[ChannelView], ...]] = (
    Column("channel", lambda c, _: c.kind, lambda c: c.kind, 14),
    Column("what", _doing, lambda c: c.detail, 20, flexible=True),
    Column("open", lambda c, v: formatting.span(v.now - c.opened_at), lambda c: -c.opened_at, 6,
           drop=1, right=True),
    Column("in", lambda c, _: formatting.size(c.received), lambda c: c.received, 7, drop=2,
           right=True),
    Column("out", lambda c, _: formatting.size(c.sent), lambda c: c.sent, 7, drop=2, right=True),
)  # fmt: skip


def _progress(transfer: Transfer, view: View) -> Content:
    if transfer.error:
        return Content.styled(f"{view.glyphs.failed} {view.shown(transfer.error)}", "$error")
    if transfer.finished_at is None:
        return Content.styled(f"{view.glyphs.retry} moving", "$warning")
    took = formatting.span(transfer.finished_at - transfer.started_at)
    return Content.styled(f"{view.glyphs.ok} done in {took}", "$good")


TRANSFERS: Final[tuple[Column[Transfer], ...]] = (
    Column("file", lambda t, v: v.shown(t.path), lambda t: t.path, 30, flexible=True),
    Column("way", lambda t, _: t.direction, lambda t: t.direction, 8, drop=1),
    Column("size", lambda t, _: formatting.size(t.bytes), lambda t: t.bytes, 7, right=True),
    Column("state", _progress, lambda t: t.started_at, 16),
)  # fmt: skip

TIMELINE: Final[tuple[Column[LogEntry], ...]] = (
    Column("time", lambda e, _: formatting.clock(e.at, seconds=True), lambda e: e.at, 8),
    Column("", lambda e, v: level_mark(e.level, v), lambda e: e.level, 1),
    Column("what", lambda e, v: v.shown(e.repeats + e.text), lambda e: e.text, 40, flexible=True),
)


class ClientFacts(ViewWidget):
    """Identity, verification, program, ciphers and bandwidth of one client."""

    DEFAULT_CSS = """
    ClientFacts { height: 7; padding: 0 1; border-left: solid $frame; border-right: solid $frame; }
    """

    def __init__(self, client_id: ClientId) -> None:
        super().__init__()
        self.client_id = client_id

    def draw(self, view: View, width: int) -> Content:
        client = find(view, self.client_id)
        if client is None:
            return Content.styled("Gone: this client has disconnected. esc goes back.", "$warning")
        proof = (
            ("proved here", "$good")
            if client.verification == "proved"
            else ("relay's word", "$warning")
        )
        rows = [
            ("role", joined((formatting.plain(client.role), role_style(client.role)),
                            f"   let in: {view.shown(client.verified_by)}")),
            ("key", joined(view.shown(client.fingerprint), "  ", proof)),
            ("from", Content(f"{view.address(client.address)} by the {client.way} way as "
                             f"{view.shown(client.user)}")),
            ("program", Content(view.shown(client.program))),
            ("cipher", Content(f"{formatting.plain(client.cipher)}  "
                               f"{formatting.plain(client.kex)}")),
            ("since", Content(f"{formatting.day(client.since)}, idle "
                              f"{formatting.span(view.now - client.last_activity)}")),
        ]  # fmt: skip
        facts = [
            joined((f"{name:<9}", "$muted"), value).truncate(width, ellipsis=True)
            for name, value in rows
        ]
        return lines(*facts, self._bandwidth(client, view, width))

    def _bandwidth(self, client: ClientView, view: View, width: int) -> Content:
        glyphs = view.glyphs
        left = joined(
            ("traffic  ", "$muted"),
            (f"{glyphs.received} {formatting.size(client.received)} {glyphs.sent} "
             f"{formatting.size(client.sent)}  ", "bold"),
        )  # fmt: skip
        rate = Content.styled(
            f" {formatting.rate(client.receive_rate + client.send_rate)}", "bold $primary"
        )
        room = max(0, min(60, width - len(left.plain) - len(rate.plain) - 1))
        bars = formatting.spark(client.rate_history, room, glyphs.bars)
        return spread(width, joined(left, (bars, "$primary")), rate)


def find(view: View, client_id: ClientId) -> ClientView | None:
    """The client in this view, if still connected."""
    return next((client for client in view.clients if client.id == client_id), None)


class ClientDetail(ClientKeys):
    """Pushed over a main screen; Escape goes back to it."""

    PLACE = "clients"
    KEYS = (
        ("kick", "Kick"),
        ("role", "Role"),
        ("message", "Message"),
        ("block", "Block"),
        ("back", "Back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, actions: Actions, client_id: ClientId) -> None:
        super().__init__(actions)
        self.client_id = client_id
        self.channels = ListPanel[ChannelView](
            "Channels", CHANNELS, identify=lambda channel: str(channel.id),
            empty="No channel is open.", id="channels",
        )  # fmt: skip
        self.transfers = ListPanel[Transfer](
            "Transfers", TRANSFERS, identify=lambda one: f"{one.started_at} {one.path}",
            empty="No file was moved.", id="transfers",
        )  # fmt: skip
        self.timeline = ListPanel[LogEntry](
            "Timeline", TIMELINE, identify=lambda entry: str(entry.n),
            empty="Nothing on record yet.", id="timeline",
        )  # fmt: skip
        self.panels = (self.channels, self.transfers, self.timeline)

    def compose_body(self) -> ComposeResult:
        yield Divider("ClientView", id="client-divider")
        yield ClientFacts(self.client_id)
        yield self.channels
        yield self.transfers
        yield self.timeline

    @property
    def client(self) -> ClientView | None:
        return None if self.view is None else find(self.view, self.client_id)

    def show(self, view: View) -> None:
        client = find(view, self.client_id)
        if client is not None:
            divider = self.query_one("#client-divider", Divider)
            divider.title = joined((view.shown(client.name), "bold $foreground"))
        self.channels.show(client.channels if client else [], view)
        self.transfers.show(client.transfers if client else [], view)
        log = view.snapshot.log if view.snapshot is not None else []
        mine = [entry for entry in log if entry.client_id == self.client_id]
        self.timeline.show(mine, view)

    def post_back(self) -> None:
        self.dismiss(None)
