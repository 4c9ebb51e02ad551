"""The base of every dialog: a box over the screen, with the requests in sight above it."""

from typing import ClassVar, Final, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen

from uptui.widgets.pending_banner import PendingBanner
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget

R = TypeVar("R")
APPROVAL_KEYS: Final[tuple[BindingType, ...]] = (
    Binding("A", "app.act('approve')", "Approve the oldest request", id="approve"),
    Binding("D", "app.act('deny')", "Deny the oldest request", id="deny"),
)


def distribute(node: DOMNode, view: View) -> None:
    """Hand `view` to everything below `node` that draws it."""
    for drawn in node.query(ViewWidget):
        drawn.view = view


class Dialog(ModalScreen[R], Generic[R]):
    """A box over the screen; requests stay visible and answerable above it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *APPROVAL_KEYS,
        Binding("escape", "cancel", "Cancel", id="cancel"),
    ]
    TITLE_TEXT: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.view: View | None = None
        self.heading = self.TITLE_TEXT
        self._ready = False

    def compose(self) -> ComposeResult:
        yield PendingBanner()
        box = VerticalScroll(classes="dialog-box", can_focus=False)
        box.border_title = Content(self.heading)
        with box:
            yield from self.compose_body()

    def compose_body(self) -> ComposeResult:
        """What is in the box."""
        yield from ()

    def take(self, view: View) -> None:
        """Draw this view."""
        self.view = view
        self.set_class(view.glyphs.ascii, "-ascii")
        if self._ready:
            distribute(self, view)
            self.show(view)

    def on_mount(self) -> None:
        self._ready = True
        if self.view is not None:
            self.take(self.view)

    def show(self, view: View) -> None:
        """Redraw what depends on the view."""

    def action_cancel(self) -> None:
        self.dismiss(None)
