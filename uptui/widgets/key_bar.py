"""The footer: at most seven keys, as they are bound now, each also a place to click."""

from collections.abc import Callable, Sequence

from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive

from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, joined

MAX_KEYS = 7
ALWAYS = (("help", "Help"), ("palette", "Palette"))


class KeyBar(ViewWidget):
    """`? Help  ^p Palette  c Copy ...`, in the lower edge of the frame."""

    DEFAULT_CSS = """
    KeyBar {
        color: $frame;
    }
    """

    framed: reactive[bool] = reactive(default=True)
    """Whether the bar is the lower edge of one frame."""
    keys: reactive[tuple[tuple[str, str], ...]] = reactive[tuple[tuple[str, str], ...]](())

    def __init__(self, keys: Sequence[tuple[str, str]], display: Callable[[Binding], str]) -> None:
        super().__init__()
        self._display = display
        self.set_reactive(KeyBar.keys, tuple(keys))

    def on_mount(self) -> None:
        super().on_mount()
        changed = self.screen.bindings_updated_signal  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        changed.subscribe(self, self._bindings_changed)  # pyright: ignore[reportUnknownMemberType]

    def _bindings_changed(self, _: object) -> None:
        self.refresh()

    def draw(self, view: View, width: int) -> Content:
        bound: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.id and active.binding.id not in bound:
                space = "app" if isinstance(active.node, App) else "screen"
                action = active.binding.action
                bound[active.binding.id] = (
                    self._display(active.binding),
                    action if "." in action else f"{space}.{action}",
                )
        shown = [
            joined(
                (bound[key][0], f"bold $accent @click={bound[key][1]}"),
                (f" {label}", f"$text @click={bound[key][1]}"),
            )
            for key, label in (*ALWAYS, *self.keys)[:MAX_KEYS]
            if key in bound
        ]
        if not self.framed:
            return joined("  ", Content("  ").join(shown)).truncate(width, ellipsis=True)
        glyphs = view.glyphs
        left = joined(glyphs.corners[2], " ", Content("  ").join(shown), " ")
        room = width - len(left.plain) - 1
        if room < 0:
            return joined(left.truncate(width - 1, ellipsis=True), glyphs.corners[3])
        return joined(left, glyphs.horizontal * room, glyphs.corners[3])
