"""The panel that everything starts from: the string to hand out, and what it is worth."""

from textual.content import Content

from uptui.protocol.host_api import Strings
from uptui.widgets import formatting
from uptui.widgets.divider import Divider
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, click, joined, lines, spread


def primary(url: Strings) -> tuple[str, str]:
    """The format and text of the string that `c` copies: ssh if there is one."""
    if "ssh" in url.strings:
        return "ssh", url.strings["ssh"]
    return next(iter(url.strings.items()), ("", ""))


def is_private_way(url: Strings) -> bool:
    """Whether the primary string's way hides the session from the relay."""
    return url.ways.port is not None or url.ways.jump is not None


class ConnectDivider(Divider):
    """`Connect ── c copy  C formats  Q`."""

    DEFAULT_CSS = """
    ConnectDivider { }
    """

    def contents(self, view: View, width: int) -> tuple[Content, Content]:
        del view, width
        pairs = (("c", "copy", "copy"), ("C", "formats", "formats"), ("Q", "QR", "qr"))
        note = Content("  ").join(
            joined(
                (key, f"bold $accent @click=app.act('{action}')"),
                click(f" {label}", f"app.act('{action}')", "$foreground"),
            )
            for key, label, action in pairs
        )
        return Content.styled("Connect", "bold $foreground"), note


class Connect(ViewWidget):
    """The primary string, who can read what goes through it, host key, alias, token."""

    DEFAULT_CSS = """
    Connect { height: 2; padding: 0 1; border-left: solid $frame; border-right: solid $frame; }
    """

    def draw(self, view: View, width: int) -> Content:
        snapshot = view.snapshot
        if snapshot is None:
            text = f"{view.glyphs.retry} Starting: the string comes here."
            return Content.styled(text, "$warning")
        kind, string = primary(snapshot.url)
        if not kind:
            return lines(
                Content.styled("Registering with the relay; the string comes here.", "$warning"),
                self._facts(view, width),
            )
        secure = (
            Content.styled("end-to-end encrypted", "$good")
            if is_private_way(snapshot.url)
            else Content.styled("the relay can read it", "$warning")
        )
        if len(string) + len(secure.plain) + 2 > width:
            secure = Content("")
        shown = view.shown(string) if not view.private else f"{kind} {view.glyphs.hidden * 12}"
        return lines(
            spread(width, click(shown, "app.act('copy')", "bold $foreground"), secure),
            self._facts(view, width),
        )

    def _facts(self, view: View, width: int) -> Content:
        snapshot = view.snapshot
        if snapshot is None:
            return Content("")
        share = snapshot.share
        if width < 60:
            return Content.styled(f"key {view.fingerprint(share.fingerprint, 12)}", "$muted")
        left = joined(
            ("host key ", "$muted"),
            view.fingerprint(share.fingerprint, 43 if width > 100 else 10),
            ("   alias ", "$muted"),
            view.shown(share.alias) if share.alias else ("none", "$muted"),
        )
        if share.token_rotates_at is None:
            return spread(width, left, Content.styled("r rotates the token", "$muted"))
        rest = formatting.span(share.token_rotates_at - view.now)
        return spread(width, left, Content.styled(f"token rotates in {rest}", "$muted"))
