"""The top line of every screen: what is shared, how the link is, who is there, where we are."""

from typing import Final

from textual.content import Content
from textual.reactive import reactive

from uptui.widgets import formatting
from uptui.widgets.status import host_of, link_state, lock_state
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, click, joined, spread

ENDS_SOON: Final = 600.0
"""Seconds before the end of the share from which the title warns."""

PLACES = (
    ("1", "dashboard", "Dashboard"),
    ("2", "invites", "Invites"),
    ("3", "relay", "Relay"),
    ("4", "ports", "Ports"),
    ("5", "clients", "Clients"),
    ("6", "log", "Log"),
    ("7", "settings", "Settings"),
)
"""Key, mode and title of each main screen."""


class TitleBar(ViewWidget):
    """` uptui  demo-box   ● UP relay.example 38 ms   3 clients   LOCK off`."""

    DEFAULT_CSS = """
    TitleBar {
        background: $panel; padding: 0 1;
    }
    """

    place: reactive[str] = reactive("dashboard")

    def draw(self, view: View, width: int) -> Content:
        parts = self._state(view)
        while len(parts) > 3 and sum(len(part.plain) + 2 for part in parts) > width:
            parts.pop()
        left = Content("  ").join(parts)
        for right in (self._map(), self._here()):
            if len(left.plain) + len(right.plain) + 2 <= width:
                return spread(width, left, right)
        return spread(width, left, Content(""))

    def _state(self, view: View) -> list[Content]:
        name = Content.styled("uptui", "bold $primary")
        if view.snapshot is None:
            return [name, link_state(view)]
        share, relay = view.snapshot.share, view.snapshot.relay
        if view.lost_since is not None:
            here = Content.styled(view.shown(share.alias or share.hostname), "bold")
            return [name, here, link_state(view)]
        where = "this machine" if relay.embedded else view.shown(host_of(relay.url))
        if view.private:
            where = "relay"
        trip = f" {relay.rtt_ms:.0f} ms" if relay.rtt_ms is not None else ""
        parts = [
            name,
            Content.styled(view.shown(share.alias or share.hostname), "bold"),
            joined(link_state(view), f" {where}{trip}"),
            Content(formatting.many(len(view.snapshot.clients), "client")),
            lock_state(share, view),
        ]
        if share.stops_at is not None:
            left = share.stops_at - view.now
            style = "bold $warning" if left <= ENDS_SOON else "$muted"
            parts.append(Content.styled(f"ends in {formatting.span(left)}", style))
        if view.private:
            parts.append(Content.styled("PRIVATE", "bold $warning"))
        if share.recording:
            parts.append(Content.styled(f"{view.glyphs.up} REC", "bold $error"))
        return parts

    def _map(self) -> Content:
        return Content(" ").join(
            joined(
                (key, "bold $accent" if mode == self.place else "$muted"),
                click(
                    title,
                    f"app.go('{mode}')",
                    "bold $foreground" if mode == self.place else "$muted",
                ),
            )
            for key, mode, title in PLACES
        )

    def _here(self) -> Content:
        for key, mode, title in PLACES:
            if mode == self.place:
                return click(f"{key} {title}", "app.command_palette", "bold $accent")
        return Content("")
