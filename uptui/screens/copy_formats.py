"""Text to take away: strings by format, plain and selectable, and as a QR code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from uptui.screens.dialog import Dialog
from uptui.widgets import formatting
from uptui.widgets.qr import picture
from uptui.widgets.view import View


@dataclass(frozen=True)
class Taken:
    """What to do with which text."""

    how: Literal["copy", "write", "qr"]
    name: str
    text: str


class Texts(Dialog[Taken]):
    """Named texts: choose one, see it in full, then copy it, write it to a file or show its QR."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "take_it('copy')", "Copy", id="text-copy"),
        Binding("w", "take_it('write')", "Write to a file", id="text-write"),
        Binding("Q", "take_it('qr')", "QR code", id="text-qr"),
    ]

    def __init__(self, title: str, texts: Mapping[str, str], intro: str = "") -> None:
        super().__init__()
        self.heading = formatting.plain(title)
        self._texts = dict(texts)
        self._intro = formatting.plain(intro, 1000)
        self._names = list(texts)

    def compose_body(self) -> ComposeResult:
        if self._intro:
            yield Static(self._intro, markup=False, classes="dialog-text")
        with Horizontal(id="texts"):
            if len(self._names) > 1:
                yield OptionList(*(Option(Content(name)) for name in self._names), markup=False)
            yield TextArea(read_only=True, soft_wrap=True, compact=True, id="text")
        with Horizontal(classes="dialog-buttons"):
            yield Button("c Copy", id="copy", variant="primary", compact=True)
            yield Button("w Write to a file", id="write", compact=True)
            yield Button("Q QR code", id="qr", compact=True)
            yield Button("esc Close", id="close", compact=True)

    def on_mount(self) -> None:
        super().on_mount()
        if len(self._names) > 1:
            self.query_one(OptionList).highlighted = 0
            self.query_one(OptionList).focus()
        else:
            self.query_one("#copy").focus()
        self._display()

    @property
    def chosen(self) -> str:
        """The name of the text that is shown."""
        found = self.query(OptionList)
        index = found.first().highlighted if found else 0
        return self._names[index or 0] if self._names else ""

    def show(self, view: View) -> None:
        del view
        self._display()

    @on(OptionList.OptionHighlighted)
    def _display(self) -> None:
        text = self._texts.get(self.chosen, "Nothing to show yet.")
        if self.view is not None and self.view.private:
            text = self.view.shown(text)
        area = self.query_one("#text", TextArea)
        if area.text != text:
            area.load_text(text)

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_take_it("copy")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        match event.button.id:
            case "copy" | "write" | "qr" as how:
                self.action_take_it(how)
            case _:
                self.dismiss(None)

    def action_take_it(self, how: Literal["copy", "write", "qr"]) -> None:
        if self.chosen:
            self.dismiss(Taken(how, self.chosen, self._texts[self.chosen]))


FRAME_COLUMNS: Final = 4
FRAME_ROWS: Final = 4
"""What the box takes around a QR code: border, padding, and the line of the button."""


class QrCode(Dialog[None]):
    """A QR code for a phone or tablet."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.heading = formatting.plain(title)
        self._text = text

    def compose_body(self) -> ComposeResult:
        yield Static("", markup=False, id="qr-code")
        with Horizontal(classes="dialog-buttons"):
            yield Button("esc Close", id="close", compact=True)

    def show(self, view: View) -> None:
        code = self.query_one("#qr-code", Static)
        if view.private:
            code.update("Hidden in privacy mode. Press esc, then P to leave it.")
            return
        rows = picture(self._text, ascii_only=view.glyphs.ascii)
        width, height = len(rows[0]) + FRAME_COLUMNS, len(rows) + FRAME_ROWS
        if height > self.size.height or width > self.size.width:
            code.update(f"The code needs a window of {width}x{height}.")
            return
        code.update(Content.styled("\n".join(rows), "black on white"))

    @on(Button.Pressed)
    def _pressed(self) -> None:
        self.dismiss(None)
