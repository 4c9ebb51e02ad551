"""Help: the keys of the screen below, a tour, where things are, and diagnostics to copy."""

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from uptui.screens.dialog import Dialog
from uptui.widgets import formatting
from uptui.widgets.view import View
from uptui.widgets.view_widget import joined, lines

TOUR: Final = (
    "c copies the string; send it to somebody, or paste it into VS Code.",
    "When they connect, a banner names them: A lets them in, D does not.",
    "Each client is a row: Enter shows it, m changes the role, x kicks.",
    "r makes a new string; who is in stays in. R also disconnects them.",
    "i invites by name, with a role, an end and a number of uses.",
    "t joins the shared terminal that everybody may watch; ^] leaves it.",
    "q leaves this screen; the share goes on. uptui brings it back.",
)


@dataclass(frozen=True)
class HelpText:
    """What help says besides the keys."""

    places: Sequence[tuple[str, str]]
    """Name and path of each file that matters."""


class Help(Dialog[Literal["diagnostics"]]):
    """Scrolls; `y` copies the diagnostics."""

    TITLE_TEXT = "Help"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "diagnostics", "Copy diagnostics", id="diagnostics"),
        Binding("question_mark,f1,q", "cancel", show=False),
    ]

    def __init__(self, keys: Sequence[tuple[str, str]], text: HelpText) -> None:
        super().__init__()
        self._keys = keys
        self._text = text

    def compose_body(self) -> ComposeResult:
        yield Static("", markup=False, id="help-text")

    def on_mount(self) -> None:
        super().on_mount()
        box = self.query_one(".dialog-box")
        box.can_focus = True
        box.focus()

    def show(self, view: View) -> None:
        rows = [_heading("Keys of this screen")]
        width = max((len(key) for key, _ in self._keys), default=4) + 2
        rows += [joined((f"{key:>{width}}  ", "bold $accent"), what) for key, what in self._keys]
        rows += [Content(""), _heading("A tour in 60 seconds")]
        rows += [Content(f"  {number}. {step}") for number, step in enumerate(TOUR, 1)]
        rows += [Content(""), _heading("Places")]
        rows += [joined((f"  {name:<10}", "$muted"), path) for name, path in self._text.places]
        rows += [Content(""), _heading("Diagnostics")]
        rows += [Content(f"  {line}") for line in diagnostics(view)]
        rows += [
            joined(
                ("  y ", "bold $accent"), "shows them to copy; tokens and addresses are left out"
            )
        ]
        self.query_one("#help-text", Static).update(lines(*rows))

    def action_diagnostics(self) -> None:
        self.dismiss("diagnostics")


def _heading(text: str) -> Content:
    return Content.styled(text, "bold $primary")


def diagnostics(view: View) -> list[str]:
    """What a bug report needs, without tokens, names or addresses."""
    snapshot = view.snapshot
    rows = [
        f"python {platform.python_version()} on {sys.platform} {platform.machine()}",
        f"glyphs {'ascii' if view.glyphs.ascii else 'unicode'}",
    ]
    if snapshot is None:
        return [*rows, "no host daemon yet"]
    share, relay = snapshot.share, snapshot.relay
    return [
        f"uptui {formatting.plain(share.version)}",
        *rows,
        f"share {share.status}, up {formatting.span(view.now - share.started_at)}, pid {share.pid}",
        f"relay {relay.status} by {relay.transport or 'no stream yet'}, "
        f"{'embedded' if relay.embedded else 'remote'}, {len(relay.reconnects)} reconnects",
        f"{len(snapshot.clients)} clients, {len(snapshot.pending)} pending, "
        f"{len(snapshot.forwards)} forwards, {len(snapshot.invites)} invites",
    ]
