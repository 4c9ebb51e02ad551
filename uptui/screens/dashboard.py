"""The first screen: the string, who waits, who is in, what flows, what happened."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content

from uptui.protocol.host_api import ClientView
from uptui.screens.actions import Actions
from uptui.screens.base import TALL, size_class
from uptui.screens.client_columns import CLIENTS, NOBODY
from uptui.screens.client_keys import ClientKeys
from uptui.widgets.connect import Connect, ConnectDivider
from uptui.widgets.divider import Divider
from uptui.widgets.key_bar import KeyBar
from uptui.widgets.list_panel import ListPanel
from uptui.widgets.pending_banner import PendingBanner
from uptui.widgets.summaries import LogBrief, PortsBrief
from uptui.widgets.traffic import TrafficChart, TrafficLine
from uptui.widgets.view import View
from uptui.widgets.view_widget import click, joined

TABS = (("log", "Log"), ("ports", "Ports"), ("traffic", "Traffic"))
ZOOMS = ("", "clients", "traffic", "ports", "log")


class PendingDivider(Divider):
    """`Pending 1`, only while somebody waits."""

    def watch_view(self, view: View | None) -> None:
        self.display = view is not None and bool(view.pending)

    def contents(self, view: View, width: int) -> tuple[Content, Content]:
        del width
        return joined(
            ("Pending ", "bold $foreground"), (str(len(view.pending)), "bold $warning")
        ), Content("")


class TabDivider(Divider):
    """The titles of the lower half on a tall, narrow terminal; click one, or press Tab."""

    DEFAULT_CSS = """
    TabDivider { link-style: none; link-color: $text; link-background-hover: $primary-muted; }
    """

    def contents(self, view: View, width: int) -> tuple[Content, Content]:
        del view, width
        current = getattr(self.screen, "tab", "log")
        tabs = [
            click(title, f"screen.tab('{name}')", "bold $accent" if name == current else "$muted")
            for name, title in TABS
        ]
        return Content("  ").join(tabs), Content("")


class Dashboard(ClientKeys):
    """Everything at a glance; the other screens are its panels in full."""

    PLACE = "dashboard"
    KEYS = (
        ("copy", "Copy"),
        ("invite", "Invite"),
        ("kick", "Kick"),
        ("rotate", "Rotate"),
        ("detach", "Detach"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause or resume the chart", id="pause"),
        Binding("plus", "zoom", "Zoom: clients, traffic, ports, log, all", id="zoom"),
        Binding("w", "window", "Chart of 60 seconds or 24 hours", id="window"),
        Binding("T", "next_tab", "Next tab of the lower half", id="next-tab"),
    ]
    tab = "log"
    _zoomed = ""

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.clients = ListPanel[ClientView](
            "Clients", CLIENTS, identify=lambda client: client.id, empty=NOBODY, id="clients"
        )
        self.panels = (self.clients,)

    def compose_banner(self) -> ComposeResult:
        yield from ()

    def compose_body(self) -> ComposeResult:
        with Vertical(id="left"):
            yield ConnectDivider(id="connect-divider")
            yield Connect()
            yield PendingDivider("Pending")
            yield PendingBanner()
            yield self.clients
            yield Divider(id="left-end")
        with Vertical(id="right"):
            yield TrafficLine(id="traffic-line")
            yield TabDivider(id="tabs")
            with Container(id="traffic"):
                yield TrafficChart()
            yield Divider("Ports", id="ports-divider")
            yield PortsBrief()
            yield Divider("Log", id="log-divider")
            yield LogBrief()
            yield Divider(id="right-end")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#left-end", Divider).edge = "bottom"
        self.query_one("#right-end", Divider).edge = "bottom"
        self._arrange()

    @property
    def client(self) -> ClientView | None:
        return self.clients.selected

    def show(self, view: View) -> None:
        self.clients.show(view.clients, view)

    def fit(self, width: int, height: int) -> None:
        super().fit(width, height)
        wide = size_class(width, height) == "wide"
        self.query_one("#traffic-line", Divider).edge = "top" if wide else "middle"
        self.query_one(KeyBar).framed = not wide
        self._arrange()

    def _arrange(self) -> None:
        """Show the panels that this size, the tab and the zoom leave."""
        width, height = self.size
        kind = size_class(width, height)
        tabbed = kind == "stacked" and height >= TALL
        for name, selector in (
            ("log", "LogBrief"),
            ("ports", "PortsBrief"),
            ("traffic", "#traffic"),
        ):
            visible = kind == "wide" or (self.tab == name if tabbed else name != "traffic")
            if self._zoomed:
                visible = self._zoomed == name
            self.query_one(selector).display = visible
        for name in ZOOMS[1:]:
            self.set_class(self._zoomed == name, f"-zoom-{name}")
        self.set_class(bool(self._zoomed), "-zoomed")
        self.set_class(tabbed and not self._zoomed, "-tabbed")
        self.query_one("#tabs").refresh()

    def action_tab(self, name: str) -> None:
        self.tab = name
        self._arrange()

    def action_next_tab(self) -> None:
        names = [name for name, _ in TABS]
        self.action_tab(names[(names.index(self.tab) + 1) % len(names)])

    def action_zoom(self) -> None:
        self._zoomed = ZOOMS[(ZOOMS.index(self._zoomed) + 1) % len(ZOOMS)]
        self._arrange()

    def action_back(self) -> None:
        self._zoomed = ""
        self._arrange()

    def action_pause(self) -> None:
        line = self.query_one(TrafficLine)
        snapshot = self.view.snapshot if self.view is not None else None
        frozen = None if line.frozen is not None or snapshot is None else snapshot.traffic
        line.frozen = frozen
        self.query_one(TrafficChart).frozen = frozen

    def action_window(self) -> None:
        line = self.query_one(TrafficLine)
        line.long = not line.long
        self.query_one(TrafficChart).long = line.long

    @on(ListPanel.Opened)
    def _opened(self, event: ListPanel.Opened) -> None:
        self.actions.calls.open_client(event.key)
