"""The base of everything that draws a View, and the two ways to lay text out in a line."""

from typing import ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from uptui.widgets.view import View

Part = str | Content | tuple[str, str]


class ViewWidget(Widget):
    """A widget whose looks are a function of `view`; it knows no client and changes nothing."""

    DEFAULT_CSS: ClassVar[str] = "ViewWidget { height: 1; width: 1fr; }"

    view: reactive[View | None] = reactive[View | None](None)

    def on_mount(self) -> None:
        self.auto_links = False

    def render(self) -> Content:
        view, width = self.view, self.content_size.width
        if view is None or width <= 0:
            return Content("")
        return self.draw(view, width)

    def draw(self, view: View, width: int) -> Content:
        """The content for `width` cells."""
        raise NotImplementedError


def joined(*parts: Part) -> Content:
    """Parts one after another; tuples are text with a style."""
    return Content.assemble(*parts)


def spread(width: int, left: Content, right: Content, fill: str = " ", style: str = "") -> Content:
    """`left` and `right` at the two ends of a line of `width` cells; left yields when short."""
    right_width = cell_len(right.plain)
    if right_width > width:
        return right.truncate(width, ellipsis=True)
    room = width - right_width
    gap = 1 if right_width else 0
    if cell_len(left.plain) > room - gap:
        left = left.truncate(max(0, room - gap), ellipsis=True)
    filling = fill * (room - cell_len(left.plain))
    return Content.assemble(left, (filling, style) if style else filling, right)


def lines(*rows: Content) -> Content:
    """Rows under one another."""
    return Content("\n").join(rows)


def click(label: str, action: str, style: str = "") -> Content:
    """Text that runs `action` when it is clicked."""
    return Content.styled(label, f"{style} @click={action}".strip())
