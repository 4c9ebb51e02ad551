"""Invites: for whom, with which role, how long they are good, and how to hand them out."""

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from uptui.protocol.host_api import InviteView
from uptui.screens.actions import Actions
from uptui.screens.base import HostScreen
from uptui.widgets import formatting
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.status import role_style
from uptui.widgets.view import View


def _uses(invite: InviteView, _: View) -> str:
    left = "any" if invite.uses_left is None else str(invite.uses_left)
    return f"{left} left, {invite.used} used"


def _expiry(invite: InviteView, view: View) -> str:
    if invite.expires_at is None:
        return "never"
    left = invite.expires_at - view.now
    return f"in {formatting.span(left)}" if left > 0 else "over"


def _state(invite: InviteView, view: View) -> Content:
    glyphs = view.glyphs
    sign, style = {
        "active": (glyphs.up, "$good"),
        "used-up": (glyphs.ok, "$muted"),
        "expired": (glyphs.paused, "$warning"),
        "revoked": (glyphs.down, "$error"),
    }[invite.state]
    return Content.styled(f"{sign} {invite.state}", style)


INVITES: Final[tuple[Column[InviteView], ...]] = (
    Column("who", lambda i, v: v.shown(i.name), lambda i: i.name.casefold(), 16, flexible=True),
    Column(
        "role",
        lambda i, _: Content.styled(formatting.plain(i.role), role_style(i.role)),
        lambda i: i.role,
        9,
        drop=1,
    ),
    Column("landing", lambda i, v: v.shown(i.landing), lambda i: i.landing, 12, drop=3),
    Column("invite", lambda i, v: v.shown(i.route), lambda i: i.route, 15, drop=5),
    Column("uses", _uses, lambda i: i.used, 16, drop=4),
    Column("expires", _expiry, lambda i: i.expires_at or float("inf"), 9, drop=2),
    Column("state", _state, lambda i: i.state, 9),
)


class InvitesScreen(HostScreen):
    """The list, and the way to make, show and revoke them."""

    PLACE = "invites"
    KEYS = (("invite", "New"), ("show", "Commands"), ("revoke", "Revoke"), ("back", "Back"))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "show", "Commands and QR of the selected invite", id="show"),
        Binding("x,delete", "revoke", "Revoke the selected invite", id="revoke"),
    ]

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.invites = ListPanel[InviteView](
            "Invites", INVITES, identify=lambda invite: invite.route,
            empty="No invites. Press i: a guest gets a string of their own, with a role, "
            "an end and a number of uses, that you can revoke alone.",
            id="invites",
        )  # fmt: skip
        self.panels = (self.invites,)

    def compose_body(self) -> ComposeResult:
        yield self.invites

    def show(self, view: View) -> None:
        if view.snapshot is not None:
            self.invites.show(view.snapshot.invites, view)

    @on(ListPanel.Opened)
    def action_show(self) -> None:
        invite = self.invites.selected
        if invite is not None:
            self.actions.calls.start(self.actions.sharing.show_invite(invite))

    def action_revoke(self) -> None:
        invite = self.invites.selected
        if invite is not None:
            self.actions.calls.start(self.actions.sharing.revoke(invite))
