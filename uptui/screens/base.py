"""What every screen shares: a view that flows down, size classes, approvals always in sight."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen

from uptui.screens.actions import Actions
from uptui.screens.dialog import distribute
from uptui.widgets.divider import Divider
from uptui.widgets.key_bar import KeyBar
from uptui.widgets.list_panel import ListPanel
from uptui.widgets.pending_banner import PendingBanner
from uptui.widgets.title_bar import TitleBar
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, lines

SizeClass = Literal["tiny", "minimal", "stacked", "wide"]
SIZE_CLASSES: Final[tuple[SizeClass, ...]] = ("tiny", "minimal", "stacked", "wide")
TINY: Final = (40, 12)
MINIMAL: Final = (80, 24)
WIDE: Final = 120
SHORT: Final = 18
"""Rows below which a screen shows only its first list."""
TALL: Final = 30
"""Rows from which a stacked screen has a tabbed lower half."""


def size_class(width: int, height: int) -> SizeClass:
    """How much a terminal of this size can show."""
    if width < TINY[0] or height < TINY[1]:
        return "tiny"
    if width < MINIMAL[0] or height < MINIMAL[1]:
        return "minimal"
    return "wide" if width >= WIDE else "stacked"


class TooSmall(ViewWidget):
    """What is left on a terminal where nothing fits."""

    DEFAULT_CSS = "TooSmall { height: 1fr; display: none; padding: 0 1; color: $muted; }"

    def draw(self, view: View, width: int) -> Content:
        del view, width
        size = self.screen.size
        return lines(
            Content.styled("uptui", "bold $primary"),
            Content(f"{size.width}x{size.height} is too small"),
            Content(f"Needs {TINY[0]}x{TINY[1]}."),
        )


class HostScreen(Screen[None]):
    """A main screen: title line, banner, its own body, key bar."""

    PLACE: ClassVar[str] = ""
    AUTO_FOCUS = ""
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Binding ids and labels for the footer, context first."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", show=False, id="back"),
        Binding("slash", "filter", "Filter the list", id="filter"),
        Binding("s", "sort", "Sort by the next column", id="sort"),
    ]

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self.actions = actions
        self.view: View | None = None
        self.panels: Sequence[ListPanel[Any]] = ()
        """The lists of this screen; the first has the focus at the start."""

    def compose(self) -> ComposeResult:
        title = TitleBar()
        title.set_reactive(TitleBar.place, self.PLACE)
        yield title
        yield from self.compose_banner()
        with Vertical(id="body"):
            yield from self.compose_body()
        yield KeyBar(self.KEYS, self.actions.calls.app.get_key_display)
        yield TooSmall()

    def compose_banner(self) -> ComposeResult:
        """Where approvals show; the dashboard has its own place for them."""
        yield PendingBanner()

    def compose_body(self) -> ComposeResult:
        """The screen's own part."""
        yield from ()

    def on_mount(self) -> None:
        self.set_class(self.actions.calls.view.glyphs.ascii, "-ascii")
        self.take(self.actions.calls.view)
        dividers = self.query("#body Divider").results(Divider)
        next(dividers).edge = "top"
        if self.panels:
            self.panels[0].rows.focus()

    def on_screen_resume(self) -> None:
        self.take(self.actions.calls.view)

    def on_resize(self, event: Resize) -> None:
        self.fit(event.size.width, event.size.height)

    def fit(self, width: int, height: int) -> None:
        """Put the size class on the screen."""
        current = size_class(width, height)
        for name in SIZE_CLASSES:
            self.set_class(name == current, f"-{name}")
        self.set_class(height >= TALL, "-tall")
        self.set_class(height < SHORT, "-short")

    def take(self, view: View) -> None:
        """Draw this view."""
        self.view = view
        self.set_class(view.lost_since is not None, "-lost")
        distribute(self, view)
        self.show(view)

    def show(self, view: View) -> None:
        """Give lists their items; most panels need nothing more than the view."""

    @property
    def panel(self) -> ListPanel[Any] | None:
        """The list that `/` and `s` mean: the one with the focus, or the first."""
        focused = [panel for panel in self.panels if panel.has_focus_within]
        return next(iter(focused or self.panels), None)

    def action_back(self) -> None:
        self.post_back()

    def post_back(self) -> None:
        """Leave for the dashboard."""
        self.actions.calls.go("dashboard")

    def action_filter(self) -> None:
        if self.panel is not None:
            self.panel.open_filter()

    def action_sort(self) -> None:
        if self.panel is not None:
            self.panel.sort_next()
