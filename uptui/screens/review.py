"""One request in full, and every answer to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from uptui.protocol.host_api import Pending
from uptui.screens.dialog import Dialog
from uptui.widgets import formatting
from uptui.widgets.pending_banner import GONE
from uptui.widgets.status import role_note
from uptui.widgets.view import View
from uptui.widgets.view_widget import joined, lines


@dataclass(frozen=True)
class Answer:
    """What was decided about a request."""

    approve: bool
    role: str = ""
    remember: bool = False
    block: bool = False
    name: str = ""


class Review(Dialog[Answer]):
    """Facts, a field for a name, and a menu that starts at leaving them waiting."""

    TITLE_TEXT = "Somebody waits"

    def __init__(self, one: Pending, roles: Sequence[str]) -> None:
        super().__init__()
        self._one = one
        self._answers = list(_answers(one, roles))

    def compose_body(self) -> ComposeResult:
        yield Static("", markup=False, id="facts")
        yield Input(placeholder="what to call them (optional)", compact=True)
        yield OptionList(*(Option(label) for label, _ in self._answers), markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        menu = self.query_one(OptionList)
        menu.highlighted = 0
        menu.focus()

    def show(self, view: View) -> None:
        one = self._one
        proof = "proved to this machine" if one.verification == "proved" else "vouched by the relay"
        facts = [
            ("who", f"{one.name or one.user} (user {one.user})"),
            ("key", one.fingerprint),
            ("proof", proof),
            ("from", f"{view.address(one.address)} by the {one.way} way"),
            ("program", one.program),
            ("asks for", one.wants),
            ("invite", one.invite or "none"),
            ("state", "waits" if one.present else f"{GONE}: an approval lets them in then"),
            ("time left", formatting.countdown(one.expires_at - view.now)),
        ]
        rows = [joined((f"{name:<10}", "$muted"), view.shown(value)) for name, value in facts]
        if one.warning:
            warning = (view.shown(one.warning), "bold $warning")
            rows.insert(1, joined((f"{'warning':<10}", "$muted"), warning))
        self.query_one("#facts", Static).update(lines(*rows))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        answer = self._answers[event.option_index][1]
        if answer is None:
            self.dismiss(None)
            return
        name = self.query_one(Input).value.strip()
        self.dismiss(
            Answer(
                answer.approve, answer.role, answer.remember, answer.block, formatting.plain(name)
            )
        )


def _answers(one: Pending, roles: Sequence[str]) -> list[tuple[Content, Answer | None]]:
    ordered = [one.role, *(role for role in roles if role != one.role)]
    answers: list[tuple[Content, Answer | None]] = [
        (Content("Leave them waiting; no answer means no"), None)
    ]
    for role in ordered:
        for remember, how in ((False, "once"), (True, "always")):
            label = joined(
                (f"Approve {how} as {role}", "bold $good"), (f"  {role_note(role)}", "$muted")
            )
            answers.append((label, Answer(approve=True, role=role, remember=remember)))
    answers.append((Content.styled("Deny", "bold $error"), Answer(approve=False)))
    blocked = joined(("Deny and block this key", "bold $error"))
    answers.append((blocked, Answer(approve=False, block=True)))
    return answers
