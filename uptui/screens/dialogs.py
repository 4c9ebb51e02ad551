"""Small questions: confirm, choose, type a line. Each is data in, one value out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from uptui.screens.dialog import Dialog
from uptui.widgets import formatting


class Confirm(Dialog[bool]):
    """Names an object and the consequence; Cancel has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, consequence: str, verb: str) -> None:
        super().__init__()
        self.heading = formatting.plain(title)
        self._consequence = formatting.plain(consequence, 1000)
        self._verb = verb

    def compose_body(self) -> ComposeResult:
        yield Static(self._consequence, markup=False, classes="dialog-text")
        with Horizontal(classes="dialog-buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button(self._verb, id="confirm", variant="error", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#cancel").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "confirm")

    def action_cancel(self) -> None:
        self.dismiss(False)


@dataclass(frozen=True)
class Choice:
    """One line of a menu."""

    value: str
    label: str
    note: str = ""
    style: str = ""


class Choose(Dialog[str]):
    """One of several; Escape chooses none."""

    def __init__(
        self, title: str, choices: Sequence[Choice], *, text: str = "", current: str = ""
    ) -> None:
        super().__init__()
        self.heading = formatting.plain(title)
        self._choices = choices
        self._text = formatting.plain(text, 1000)
        self._current = current

    def compose_body(self) -> ComposeResult:
        if self._text:
            yield Static(self._text, markup=False, classes="dialog-text")
        yield OptionList(*(self._line(choice) for choice in self._choices), markup=False)

    def _line(self, choice: Choice) -> Option:
        mark = " (now)" if choice.value == self._current else ""
        label = Content.styled(choice.label + mark, f"bold {choice.style}".strip())
        if not choice.note:
            return Option(label)
        return Option(Content.assemble(label, "  ", (choice.note, "$muted")))

    def on_mount(self) -> None:
        super().on_mount()
        options = self.query_one(OptionList)
        values = [choice.value for choice in self._choices]
        options.highlighted = values.index(self._current) if self._current in values else 0
        options.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index].value)


class Prompt(Dialog[str]):
    """One line of text; `problem` says at once what is wrong with it."""

    def __init__(
        self,
        title: str,
        text: str,
        *,
        value: str = "",
        problem: Callable[[str], str | None] = lambda _: None,
        verb: str = "OK",
    ) -> None:
        super().__init__()
        self.heading = formatting.plain(title)
        self._text = formatting.plain(text, 1000)
        self._value = value
        self._problem = problem
        self._verb = verb

    def compose_body(self) -> ComposeResult:
        yield Static(self._text, markup=False, classes="dialog-text")
        yield Input(self._value, compact=True)
        yield Static("", markup=False, classes="dialog-problem")
        with Horizontal(classes="dialog-buttons"):
            yield Button("Cancel", id="cancel", compact=True)
            yield Button(self._verb, id="confirm", variant="primary", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        problem = self._problem(event.value.strip()) if event.value.strip() else None
        self.query_one(".dialog-problem", Static).update(problem or "")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._finish()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "confirm":
            self._finish()
        else:
            self.dismiss(None)

    def _finish(self) -> None:
        value = self.query_one(Input).value.strip()
        problem = self._problem(value)
        if problem is None:
            self.dismiss(value)
        else:
            self.query_one(".dialog-problem", Static).update(problem)
