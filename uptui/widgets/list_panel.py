"""A list with columns that fit, live filter, sort, count, and an empty state that teaches.

It knows nothing of what it lists: columns say how to draw and compare an item.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click, Key, Resize
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from uptui.widgets.divider import Divider
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, click, joined

T = TypeVar("T")
GAP: Final = 2
"""Cells between columns."""


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column: how wide it may grow, and how soon it goes when space is short."""

    title: str
    cell: Callable[[T, View], Content | str]
    key: Callable[[T], Any]
    """What sorting by this column compares."""
    width: int
    """Widest useful width; the first flexible column takes what is left."""
    drop: int = 0
    """Columns with the highest number go first; 0 always stays."""
    right: bool = False
    flexible: bool = False


def fitting(columns: Sequence[Column[T]], width: int) -> list[tuple[Column[T], int]]:
    """The columns that fit into `width` cells, with their widths."""
    kept = list(columns)

    def needed() -> int:
        return sum(min(column.width, 16) if column.flexible else column.width for column in kept)

    while len(kept) > 1 and needed() + GAP * (len(kept) - 1) > width:
        worst = max(kept, key=lambda column: column.drop)
        if worst.drop == 0:
            break
        kept.remove(worst)
    fixed = sum(column.width for column in kept if not column.flexible)
    flexible = [column for column in kept if column.flexible]
    room = max(0, width - fixed - GAP * (len(kept) - 1))
    share = room // len(flexible) if flexible else 0
    return [(column, share if column.flexible else column.width) for column in kept]


def laid_out(content: Content | str, width: int, ellipsis: str, *, right: bool) -> Content:
    """One cell in exactly `width` cells."""
    cell = content if isinstance(content, Content) else Content(content)
    length = cell_len(cell.plain)
    if length > width:
        cut = cell.truncate(max(0, width - 1))
        return joined(cut, ellipsis) if width > 0 else Content("")
    blank = Content(" " * (width - length))
    return joined(blank, cell) if right else joined(cell, blank)


class Rows(OptionList):
    """One row per item; a click moves the cursor, a click on the cursor opens."""

    async def on_click(self, event: Click) -> None:
        event.prevent_default()
        clicked: int | None = event.style.meta.get("option")
        if clicked is None:
            return
        if clicked == self.highlighted and event.chain != 1:
            self.action_select()
        self.highlighted = clicked


class FilterInput(Input):
    """The filter's field: Enter keeps the filter, Escape clears it."""

    class Left(Message):
        """The field was left; `clear` says whether the filter goes too."""

        def __init__(self, *, clear: bool) -> None:
            super().__init__()
            self.clear = clear

    def on_key(self, event: Key) -> None:
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.post_message(self.Left(clear=True))
        elif event.key in ("enter", "down"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Left(clear=False))


class Header(ViewWidget):
    """Column titles; a click sorts."""

    DEFAULT_CSS = """
    Header {
        padding: 0 1; color: $muted; text-style: none;
    }
    """

    titles: reactive[tuple[tuple[str, int, bool], ...]] = reactive[
        tuple[tuple[str, int, bool], ...]
    ](())
    sorted_by: reactive[str | None] = reactive[str | None](None)
    reverse: reactive[bool] = reactive(default=False)

    def draw(self, view: View, width: int) -> Content:
        del width
        cells: list[Content] = []
        for title, cell_width, right in self.titles:
            mark = ""
            if title and title == self.sorted_by:
                mark = view.glyphs.received if self.reverse else view.glyphs.sent
            text = click(
                view.clip(f"{title}{mark}", cell_width),
                f"sort({title!r})",
                "bold $accent" if mark else "$muted",
            )
            cells.append(laid_out(text, cell_width, view.glyphs.ellipsis, right=right))
        return Content(" " * GAP).join(cells)

    class Clicked(Message):
        """A column title was clicked."""

        def __init__(self, title: str) -> None:
            super().__init__()
            self.title = title

    def action_sort(self, title: str) -> None:
        self.post_message(self.Clicked(title))


class ListPanel(Vertical, Generic[T]):
    """Title line, filter, header, rows and empty state; `show` gives it its items."""

    DEFAULT_CSS = """
    ListPanel { height: 1fr; min-height: 2; }
    ListPanel .list-body { height: 1fr; border-left: solid $frame; border-right: solid $frame; }
    ListPanel Rows {
        height: 1fr; border: none; background: transparent; padding: 0; overflow-x: hidden;
        scrollbar-size-vertical: 1;
        &:focus { border: none; background-tint: transparent 0%; }
        & > .option-list--option { padding: 0 1; }
        & > .option-list--option-highlighted { background: $primary 15%; color: $text; }
        &:focus > .option-list--option-highlighted {
            background: $primary 35%; color: $text; text-style: none;
        }
    }
    ListPanel FilterInput {
        display: none; height: 1; border: none; padding: 0 1; background: $panel;
        &:focus { border: none; }
        &.-open { display: block; }
    }
    ListPanel .empty { padding: 1 2; color: $muted; display: none; }
    """

    class Moved(Message):
        """The cursor is on another row."""

    class Opened(Message):
        """Enter, or a click on the selected row."""

        def __init__(self, panel: "ListPanel[Any]", key: str) -> None:
            super().__init__()
            self.panel = panel
            self.key = key

        @property
        def control(self) -> "ListPanel[Any]":
            return self.panel

    def __init__(
        self,
        title: str,
        columns: Sequence[Column[T]],
        *,
        identify: Callable[[T], str],
        empty: str,
        sort_by: str | None = None,
        reverse: bool = False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._title = title
        self._columns = columns
        self._identify = identify
        self._empty = empty
        self._sort_by = sort_by
        self._reverse = reverse
        self._items: Sequence[T] = ()
        self._shown: list[T] = []
        self._keys: list[str] = []
        self._view: View | None = None
        self._needle = ""
        self.note = Content.styled("/ filter  s sort", "$muted")
        """What stands at the right of the title."""
        self.divider = Divider(title)
        self.rows = Rows(markup=False)
        self._field = FilterInput(placeholder="filter: type, enter keeps it, esc clears it")
        self._header = Header()
        self._hint = Static(empty, markup=False, classes="empty")

    def compose(self) -> ComposeResult:
        yield self.divider
        with Vertical(classes="list-body"):
            yield self._field
            yield self._header
            yield self.rows
            yield self._hint

    @property
    def selected(self) -> T | None:
        """The item under the cursor."""
        index = self.rows.highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    @property
    def shown(self) -> Sequence[T]:
        """The items that pass the filter, in their order on the screen."""
        return self._shown

    def show(self, items: Sequence[T], view: View) -> None:
        """Draw these items; the cursor stays on its item."""
        self._items, self._view = items, view
        self._redraw()

    def on_mount(self) -> None:
        if self._view is not None:
            self._redraw()

    def on_resize(self, _: Resize) -> None:
        if self._view is not None:
            self.call_after_refresh(self._redraw)

    def open_filter(self) -> None:
        """Show the filter field and type into it."""
        self._field.add_class("-open")
        self._field.focus()

    def sort_next(self) -> None:
        """Sort by the next column, in its natural direction."""
        titles = [column.title for column, _ in self._layout() if column.title]
        at = titles.index(self._sort_by) if self._sort_by in titles else -1
        self.sort_by(titles[(at + 1) % len(titles)])

    def sort_by(self, title: str) -> None:
        """Sort by this column; again turns the order round."""
        self._reverse = not self._reverse if title == self._sort_by else False
        self._sort_by = title
        self._redraw()

    @on(Header.Clicked)
    def _header_clicked(self, event: Header.Clicked) -> None:
        event.stop()
        self.sort_by(event.title)

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._needle = event.value.casefold().strip()
        self._redraw()

    @on(FilterInput.Left)
    def _filter_left(self, event: FilterInput.Left) -> None:
        event.stop()
        field = self._field
        if event.clear:
            field.value = ""
        if not field.value:
            field.remove_class("-open")
        self.rows.focus()

    @on(OptionList.OptionSelected)
    def _row_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._keys):
            self.post_message(self.Opened(self, self._keys[event.option_index]))

    @on(OptionList.OptionHighlighted)
    def _row_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.post_message(self.Moved())

    def _layout(self) -> list[tuple[Column[T], int]]:
        width = self.rows.size.width or self.size.width - 2
        return fitting(self._columns, max(1, width - 3))

    def _matching(self, view: View) -> list[T]:
        kept: Iterable[T] = self._items
        if self._needle:
            kept = [item for item in kept if self._needle in self._haystack(item, view)]
        order = next((column for column in self._columns if column.title == self._sort_by), None)
        if order is None:
            return list(kept)
        return sorted(kept, key=order.key, reverse=self._reverse)

    def _haystack(self, item: T, view: View) -> str:
        cells = (column.cell(item, view) for column in self._columns)
        return " ".join(
            cell.plain if isinstance(cell, Content) else cell for cell in cells
        ).casefold()

    def _redraw(self) -> None:
        view = self._view
        if view is None or not self.rows.is_mounted:
            return
        layout = self._layout()
        self._shown = self._matching(view)
        self._fill(
            [self._identify(item) for item in self._shown],
            [self._row(item, layout, view) for item in self._shown],
        )
        header = self._header
        header.view = view
        header.titles = tuple((column.title, width, column.right) for column, width in layout)
        header.sorted_by, header.reverse = self._sort_by, self._reverse
        header.display = bool(self._items)
        self.rows.display = bool(self._shown)
        self._hint.display = not self._shown
        nothing = f"Nothing matches {self._needle!r}. Press / to change the filter."
        self._hint.update(nothing if self._items else self._empty)
        self._name_it(view)

    def _row(self, item: T, layout: list[tuple[Column[T], int]], view: View) -> Content:
        ellipsis = view.glyphs.ellipsis
        return Content(" " * GAP).join(
            laid_out(column.cell(item, view), width, ellipsis, right=column.right)
            for column, width in layout
        )

    def _fill(self, keys: list[str], prompts: list[Content]) -> None:
        rows = self.rows
        if keys == self._keys:
            for index, prompt in enumerate(prompts):
                if rows.get_option_at_index(index).prompt != prompt:
                    rows.replace_option_prompt_at_index(index, prompt)
            return
        at = rows.highlighted
        current = self._keys[at] if at is not None and at < len(self._keys) else None
        self._keys = keys
        rows.set_options(Option(prompt) for prompt in prompts)
        if keys:
            fallback = min(at or 0, len(keys) - 1)
            rows.highlighted = keys.index(current) if current in keys else fallback

    def _name_it(self, view: View) -> None:
        count = str(len(self._items))
        if self._needle:
            count = f"{len(self._shown)} of {len(self._items)}"
        self.divider.view = view
        self.divider.title = joined(
            (self._title, "bold $foreground"), (f" {count}", "bold $accent")
        )
        self.divider.note = self.note
