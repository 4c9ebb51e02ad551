"""The banner of waiting requests: on every screen, never in the way, never bound to Enter."""

from textual.content import Content

from uptui.protocol.host_api import Pending
from uptui.protocol.names import is_invite, is_token, split_secret
from uptui.widgets import formatting
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, click, joined, lines, spread

URGENT = 10.0
"""Seconds left from which the countdown is drawn in the error colour."""

ROOM_FOR_REVIEW = 60
WARNING = "warning"
GONE = "left, may come back"
"""Of a client that was lost while it waited: an approval lets it in when it does."""


def is_route(user: str) -> bool:
    """Whether an SSH user name only selects the share and says nothing of its user."""
    name, secret = split_secret(user)
    return bool(secret) or is_token(name) or is_invite(name)


class PendingBanner(ViewWidget):
    """The oldest request in two lines, with a countdown and how many more wait.

    A third line warns of a name that may be somebody else's.
    """

    DEFAULT_CSS = """
    PendingBanner {
        height: 2; padding: 0 1; display: none;
        background: $warning 15%; color: $text;
    }
    PendingBanner.warns { height: 3; }
    """

    def watch_view(self, view: View | None) -> None:
        self.display = view is not None and bool(view.pending)
        self.set_class(self.display and view is not None and bool(view.pending[0].warning), "warns")

    def draw(self, view: View, width: int) -> Content:
        waiting = view.pending
        if not waiting:
            return Content("")
        one = waiting[0]
        rows = [
            spread(width, self._who(one, view, width), self._left(one, view)),
            spread(width, self._wants(one, view), self._answers(len(waiting) - 1, width)),
        ]
        if one.warning:
            text = f"  {WARNING}: {view.shown(one.warning)}"
            rows.insert(1, Content.styled(view.clip(text, width), "bold $warning"))
        return lines(*rows)

    def _who(self, one: Pending, view: View, width: int) -> Content:
        name = view.shown(one.name or one.user)
        user = view.shown(one.user)
        parts = [joined((f"{view.glyphs.bell} ", "bold $warning"), (name, "bold"))]
        if user and user != name and not is_route(one.user):
            parts.append(Content.styled(f"({user})", "$muted"))
        keep = 43 if width > 120 else 12 if width > 70 else 6
        parts.append(Content(view.fingerprint(one.fingerprint, keep)))
        parts.append(Content(view.address(one.address)))
        parts.append(Content(formatting.program(one.program)))
        if one.verification == "vouched":
            parts.append(Content.styled("vouched by the relay", "$warning"))
        return Content("  ").join(parts)

    def _left(self, one: Pending, view: View) -> Content:
        left = one.expires_at - view.now
        style = "bold $error" if left <= URGENT else "bold $warning"
        return Content.styled(formatting.countdown(left), style)

    def _wants(self, one: Pending, view: View) -> Content:
        wants = view.shown(one.wants) or "a connection"
        text = f"asks for {wants}, would be {formatting.plain(one.role)}"
        if one.present:
            return joined((f"  {text}", "$muted"))
        return joined((f"  {GONE}: ", "$warning"), (text, "$muted"))

    def _answers(self, more: int, width: int) -> Content:
        answers = [
            click(" A ok ", "app.act('approve')", "bold $good"),
            click(" D no ", "app.act('deny')", "bold $error"),
        ]
        if width >= ROOM_FOR_REVIEW:
            answers.append(click(" a review ", "app.act('review')", "$foreground"))
        if more:
            answers.append(Content.styled(f"+{more} more", "bold"))
        return Content(" ").join(answers)
