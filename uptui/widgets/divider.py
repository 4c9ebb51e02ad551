"""One line of the frame: a titled rule that joins the panels above and below it."""

from typing import Literal

from textual.content import Content
from textual.reactive import reactive

from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, joined, spread

Edge = Literal["top", "middle", "bottom", "none"]


class Divider(ViewWidget):
    """`├ title ───────── note ┤`; the corners follow `edge`."""

    DEFAULT_CSS = "Divider { color: $frame; }"

    edge: reactive[Edge] = reactive[Edge]("middle")
    title: reactive[Content] = reactive(Content(""))
    note: reactive[Content] = reactive(Content(""))

    def __init__(self, title: str = "", note: str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.set_reactive(Divider.title, Content.styled(title, "bold $foreground"))
        self.set_reactive(Divider.note, Content.styled(note, "$muted"))

    def draw(self, view: View, width: int) -> Content:
        glyphs = view.glyphs
        left, right = self._ends(view)
        title, note = self.contents(view, width - 4)
        line = glyphs.horizontal
        head = joined(left, " ", title, " ") if title.plain else Content(left + line)
        tail = joined(" ", note, " ", right) if note.plain else Content(line + right)
        return spread(width, head, tail, line)

    def contents(self, view: View, width: int) -> tuple[Content, Content]:
        """Title and note; subclasses compute them from the view."""
        del view, width
        return self.title, self.note

    def _ends(self, view: View) -> tuple[str, str]:
        glyphs = view.glyphs
        if self.edge == "none":
            return glyphs.horizontal, glyphs.horizontal
        if self.edge == "middle":
            return glyphs.tees[0], glyphs.tees[1]
        first = 0 if self.edge == "top" else 2
        return glyphs.corners[first], glyphs.corners[first + 1]
