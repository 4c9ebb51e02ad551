"""Ports: what listens in this machine, what is forwarded to whom, and the line that forwards it."""

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from uptui.protocol.host_api import Forward, ListeningPort, Snapshot
from uptui.screens.actions import Actions
from uptui.screens.base import HostScreen
from uptui.widgets import formatting
from uptui.widgets.connect import primary
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.summaries import connections
from uptui.widgets.view import View


def _used(port: ListeningPort, view: View) -> Content:
    count = 0 if view.snapshot is None else connections(view.snapshot, port.port)
    if not count:
        return Content.styled("not forwarded", "$muted")
    return Content.styled(f"{view.glyphs.up} {formatting.many(count, 'conn')}", "$good")


LISTENING: Final[tuple[Column[ListeningPort], ...]] = (
    Column("port", lambda p, _: Content.styled(str(p.port), "bold $primary"), lambda p: p.port, 6,
           right=True),
    Column("process", lambda p, v: v.shown(p.process) or "unknown", lambda p: p.process, 16,
           flexible=True),
    Column("pid", lambda p, _: "" if p.pid is None else str(p.pid), lambda p: p.pid or 0, 7, drop=3,
           right=True),
    Column("listens on", lambda p, v: v.address(p.address), lambda p: p.address, 15, drop=2),
    Column("forwarded", _used, lambda p: p.port, 14, drop=1),
)  # fmt: skip

FORWARDS: Final[tuple[Column[Forward], ...]] = (
    Column("who", lambda f, v: v.shown(f.client_name), lambda f: f.client_name, 12, flexible=True),
    Column("way", lambda f, v: f"{v.glyphs.received} -L" if f.direction == "local"
           else f"{v.glyphs.sent} -R", lambda f: f.direction, 4),
    Column("listens", lambda f, v: v.shown(f.listen) or "at the client", lambda f: f.listen, 15,
           drop=2),
    Column("to", lambda f, v: v.shown(f.target), lambda f: f.target, 20),
    Column("conns", lambda f, _: f"{f.connections}/{f.total_connections}",
           lambda f: f.connections, 7, right=True),
    Column("in", lambda f, _: formatting.size(f.received), lambda f: f.received, 7, drop=1,
           right=True),
    Column("out", lambda f, _: formatting.size(f.sent), lambda f: f.sent, 7, drop=1, right=True),
)  # fmt: skip


def forward_line(snapshot: Snapshot, port: ListeningPort) -> str:
    """The ssh command that brings this port to a client's machine."""
    _, ssh = primary(snapshot.url)
    local = port.port if port.port >= 1024 else port.port + 8000
    target = "localhost" if port.address in ("0.0.0.0", "::", "127.0.0.1", "::1") else port.address  # noqa: S104
    return ssh.replace("ssh ", f"ssh -N -L {local}:{target}:{port.port} ", 1)


class Ports(HostScreen):
    """Listening ports above, forwards in use below."""

    PLACE = "ports"
    KEYS = (("forward-line", "Copy -L"), ("filter", "Filter"), ("sort", "Sort"), ("back", "Back"))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "copy_line", "Copy the ssh -L line of the selected port", id="forward-line"),
    ]

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.listening = ListPanel[ListeningPort](
            "Listening", LISTENING, identify=lambda port: f"{port.address} {port.port}",
            empty="Nothing listens in this machine. Start a server and it appears here.",
            id="listening", sort_by="port",
        )  # fmt: skip
        self.forwards = ListPanel[Forward](
            "Forwards", FORWARDS,
            identify=lambda one: f"{one.client_id} {one.direction} {one.listen} {one.target}",
            empty="Nothing is forwarded. Select a port above and press l for the ssh -L line.",
            id="forwards",
        )  # fmt: skip
        self.panels = (self.listening, self.forwards)

    def compose_body(self) -> ComposeResult:
        yield self.listening
        yield self.forwards

    def show(self, view: View) -> None:
        if view.snapshot is not None:
            self.listening.show(view.snapshot.ports, view)
            self.forwards.show(view.snapshot.forwards, view)

    @on(ListPanel.Opened, "#listening")
    def action_copy_line(self) -> None:
        panel = self.listening
        port, view = panel.selected, self.view
        if port is None or view is None or view.snapshot is None:
            self.actions.calls.say("No port is selected.")
            return
        line = forward_line(view.snapshot, port)
        self.actions.calls.start(self.actions.copying.texts(f"Port {port.port}", {"ssh -L": line}))
