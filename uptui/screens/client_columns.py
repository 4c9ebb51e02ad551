"""The columns of the client list, on the dashboard and on its own screen."""

from typing import Final

from textual.content import Content

from uptui.protocol.host_api import ClientView
from uptui.widgets import formatting
from uptui.widgets.list_panel import Column
from uptui.widgets.status import role_style
from uptui.widgets.view import View
from uptui.widgets.view_widget import joined

NOBODY: Final = "Nobody connected. Press c to copy the string, or i to invite somebody by name."


def _name(client: ClientView, view: View) -> Content:
    mark = view.glyphs.warning if client.verification == "vouched" else ""
    return joined(
        (view.shown(client.name), "bold"),
        (_told_apart(client, view), "$muted"),
        (f" {mark}" if mark else "", "$warning"),
    )


def _told_apart(client: ClientView, view: View) -> str:
    """The start of the key when somebody with another key has the same name."""
    namesakes = {one.fingerprint for one in view.clients if one.name == client.name}
    return f" {client.fingerprint.removeprefix('SHA256:')[:4]}" if len(namesakes) > 1 else ""


def _idle(client: ClientView, view: View) -> Content:
    idle = view.now - client.last_activity
    return Content.styled(formatting.span(idle), "$muted" if idle >= 60 else "$foreground")


def _spark(client: ClientView, view: View) -> Content:
    return Content.styled(formatting.spark(client.rate_history, 8, view.glyphs.bars), "$primary")


def _rate(client: ClientView, _: View) -> str:
    return formatting.rate(client.receive_rate + client.send_rate)


def _bytes(client: ClientView, view: View) -> str:
    glyphs = view.glyphs
    received, sent = formatting.size(client.received), formatting.size(client.sent)
    return f"{glyphs.received}{received} {glyphs.sent}{sent}"


CLIENTS: Final[tuple[Column[ClientView], ...]] = (
    Column("who", _name, lambda c: c.name.casefold(), 12, flexible=True),
    Column(
        "role",
        lambda c, _: Content.styled(formatting.plain(c.role), role_style(c.role)),
        lambda c: c.role,
        9,
        drop=1,
    ),
    Column("program", lambda c, _: formatting.program(c.program), lambda c: c.program, 11, drop=4),
    Column(
        "key", lambda c, v: v.fingerprint(c.fingerprint), lambda c: c.fingerprint, 16, drop=7
    ),
    Column("address", lambda c, v: v.address(c.address), lambda c: c.address, 15, drop=8),
    Column("since", lambda c, v: formatting.span(v.now - c.since), lambda c: -c.since, 6, drop=5,
           right=True),
    Column("idle", _idle, lambda c: -c.last_activity, 5, drop=3, right=True),
    Column("bytes", _bytes, lambda c: c.received + c.sent, 17, drop=9),
    Column("activity", _spark, lambda c: c.receive_rate + c.send_rate, 8, drop=6),
    Column("rate", _rate, lambda c: c.receive_rate + c.send_rate, 8, drop=2, right=True),
)  # fmt: skip
