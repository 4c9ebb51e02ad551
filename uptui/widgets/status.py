"""State as icon, word and colour: the relay's, the share's, a client's."""

from textual.content import Content

from uptui.protocol.host_api import RelayView, ShareView
from uptui.widgets import formatting
from uptui.widgets.view import View
from uptui.widgets.view_widget import joined


def relay_state(relay: RelayView, view: View) -> Content:
    """`● UP`, `◐ RETRY 4s`, `✖ DOWN`."""
    glyphs = view.glyphs
    if relay.status == "up":
        return Content.styled(f"{glyphs.up} UP", "bold $good")
    if relay.status == "retry":
        wait = ""
        if relay.retry_at is not None and relay.retry_at > view.now:
            wait = f" {formatting.span(relay.retry_at - view.now)}"
        return Content.styled(f"{glyphs.retry} RETRY{wait}", "bold $warning")
    if relay.status == "starting":
        return Content.styled(f"{glyphs.retry} STARTING", "bold $warning")
    if relay.status == "superseded":
        return Content.styled(f"{glyphs.paused} SUPERSEDED", "bold $warning")
    return Content.styled(f"{glyphs.down} DOWN", "bold $error")


def link_state(view: View) -> Content:
    """The relay's state, or that the host daemon itself is silent."""
    if view.lost_since is not None:
        if view.snapshot is None:
            return joined(
                (f"{view.glyphs.retry} NO HOST", "bold $warning"),
                (f" {formatting.plain(view.lost_why)}", "$warning"),
            )
        age = formatting.span(view.now - view.lost_since)
        return joined(
            (f"{view.glyphs.down} LOST", "bold $error"),
            (f" last update {age} ago, reconnecting", "$error"),
        )
    if view.snapshot is None:
        return Content.styled(f"{view.glyphs.retry} STARTING", "bold $warning")
    share, relay = view.snapshot.share, view.snapshot.relay
    if share.status == "paused":
        return Content.styled(f"{view.glyphs.paused} PAUSED", "bold $warning")
    if share.status == "stopping":
        return Content.styled(f"{view.glyphs.down} STOPPING", "bold $warning")
    return relay_state(relay, view)


def lock_state(share: ShareView, view: View) -> Content:
    if share.locked:
        return Content.styled(f"{view.glyphs.lock} LOCK on", "bold $warning")
    return Content.styled("LOCK off", "$muted")


def role_style(role: str) -> str:
    """The colour of a role's name; the name itself always stands beside it."""
    return {"developer": "$accent", "pair": "$primary", "viewer": "$muted"}.get(role, "$secondary")


def level_mark(level: str, view: View) -> Content:
    """One cell that says how grave a log line is, by sign and colour."""
    glyphs = view.glyphs
    sign, style = {
        "info": (glyphs.dot, "$muted"),
        "notice": (glyphs.up, "$primary"),
        "warning": (glyphs.warning, "$warning"),
        "error": (glyphs.failed, "bold $error"),
    }.get(level, (glyphs.dot, "$muted"))
    return Content.styled(sign, style)


def host_of(url: str) -> str:
    """The part of a relay URL that people recognise."""
    return formatting.plain(url).partition("://")[2].partition("/")[0] or formatting.plain(url)


def role_note(role: str) -> str:
    """What a role may do, in a few words; roles of the configuration have no note."""
    return {
        "viewer": "watches the shared terminal",
        "pair": "types in the shared terminal",
        "developer": "own shells, commands, files, forwards",
    }.get(role, "")
