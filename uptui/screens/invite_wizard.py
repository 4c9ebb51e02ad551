"""Making an invite step by step: who, role, landing, how long, and a sentence that says it all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, ContentSwitcher, Input, OptionList, Static
from textual.widgets.option_list import Option

from uptui.protocol.host_api import NewInvite
from uptui.screens.dialog import Dialog
from uptui.widgets import formatting
from uptui.widgets.status import role_note
from uptui.widgets.view_widget import joined

HOUR: Final = 3600.0
LIFETIMES: Final[tuple[tuple[str, float | None], ...]] = (
    ("1 hour", HOUR),
    ("8 hours", 8 * HOUR),
    ("1 day", 24 * HOUR),
    ("7 days", 7 * 24 * HOUR),
    ("until revoked", None),
)
USES: Final[tuple[tuple[str, int | None], ...]] = (
    ("once", 1),
    ("5 times", 5),
    ("any number of times", None),
)
LANDINGS: Final = (
    ("shell", "their own shell", "what an IDE and scp need"),
    ("shared", "the shared terminal", "watch or type together"),
    ("command", "a command", "only that runs"),
)
STEPS: Final = ("who", "role", "landing", "command", "expiry", "uses", "preview")
MAX_NAME: Final = 60


@dataclass(frozen=True)
class Draft:
    """What has been chosen so far."""

    name: str = ""
    role: str = "developer"
    landing: str = "shell"
    command: str = ""
    expires_in: float | None = 24 * HOUR
    uses: int | None = 1

    def sentence(self) -> str:
        """The invite in words, before it exists."""
        where = {"shell": "their own shell", "shared": "the shared terminal"}.get(
            self.landing, f"the command {self.command!r}"
        )
        lifetime = next((name for name, value in LIFETIMES if value == self.expires_in), "")
        until = "until you revoke it" if self.expires_in is None else f"for {lifetime}"
        times = next((name for name, value in USES if value == self.uses), "")
        binding = " The first key that uses it is the only one." if self.uses != 1 else ""
        return f"{self.name} may join as {self.role}, lands in {where}, {times}, {until}.{binding}"

    def invite(self) -> NewInvite:
        """The request that makes it."""
        landing = f"command: {self.command}" if self.landing == "command" else self.landing
        return NewInvite(
            name=self.name,
            role=self.role,
            landing=landing,
            expires_in=self.expires_in,
            uses=self.uses,
        )


class InviteWizard(Dialog[NewInvite]):
    """Enter goes on, Escape goes back; nothing exists before the last step."""

    TITLE_TEXT = "New invite"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back", id="wizard-back")]

    def __init__(self, roles: Sequence[str]) -> None:
        super().__init__()
        self._roles = list(roles)
        self._draft = Draft(role="developer" if "developer" in self._roles else self._roles[0])

    def compose_body(self) -> ComposeResult:
        yield Static("", markup=False, id="steps", classes="dialog-text")
        with ContentSwitcher(initial="who"):
            yield self._typed("who", "Who is it for?", "alice")
            yield self._menu("role", "What may they do?", self._role_lines())
            yield self._menu(
                "landing", "Where do they land?", [_line(name, note) for _, name, note in LANDINGS]
            )
            yield self._typed("command", "Which command?", "htop")
            yield self._menu("expiry", "How long?", [_line(name) for name, _ in LIFETIMES])
            yield self._menu("uses", "How often?", [_line(name) for name, _ in USES])
            yield Static("", markup=False, id="preview")
        yield Static("", markup=False, classes="dialog-problem")
        with Horizontal(classes="dialog-buttons"):
            yield Button("Back", id="back", compact=True)
            yield Button("Next", id="next", variant="primary", compact=True)

    def _typed(self, step: str, question: str, example: str) -> Vertical:
        return Vertical(
            Static(question, markup=False),
            Input(placeholder=f"for example {example}", compact=True, max_length=200),
            id=step,
        )

    def _menu(self, step: str, question: str, rows: Sequence[Content]) -> Vertical:
        return Vertical(
            Static(question, markup=False),
            OptionList(*(Option(row) for row in rows), markup=False),
            id=step,
        )

    def _role_lines(self) -> list[Content]:
        return [_line(role, role_note(role)) for role in self._roles]

    def on_mount(self) -> None:
        super().on_mount()
        chosen = {
            "role": self._roles.index(self._draft.role),
            "landing": 0,
            "expiry": 2,
            "uses": 0,
        }
        for step, index in chosen.items():
            self.query_one(f"#{step} OptionList", OptionList).highlighted = index
        self._go("who")

    @property
    def step(self) -> str:
        """The step that shows now."""
        return self.query_one(ContentSwitcher).current or "who"

    def _path(self) -> list[str]:
        return [step for step in STEPS if step != "command" or self._draft.landing == "command"]

    def _go(self, step: str) -> None:
        self.query_one(ContentSwitcher).current = step
        self.query_one(".dialog-problem", Static).update("")
        path = self._path()
        trail = [(f" {name} ", "bold $accent" if name == step else "$muted") for name in path]
        self.query_one("#steps", Static).update(joined(*trail))
        self.query_one("#next", Button).label = "Create" if step == "preview" else "Next"
        if step == "preview":
            self.query_one("#preview", Static).update(self._draft.sentence())
            self.query_one("#next").focus()
            return
        self.query_one(f"#{step} Input, #{step} OptionList").focus()

    def _store(self) -> str | None:
        """Take over what this step says; the problem with it, if there is one."""
        step = self.step
        if step in ("who", "command"):
            text = formatting.plain(self.query_one(f"#{step} Input", Input).value).strip()
            if not text:
                return "Type a name." if step == "who" else "Type a command."
            if step == "who" and len(text) > MAX_NAME:
                return f"At most {MAX_NAME} characters."
            changed = {"name": text} if step == "who" else {"command": text}
            self._draft = replace(self._draft, **changed)
        elif step != "preview":
            index = self.query_one(f"#{step} OptionList", OptionList).highlighted or 0
            self._draft = self._chosen(step, index)
        return None

    def _chosen(self, step: str, index: int) -> Draft:
        match step:
            case "role":
                return replace(self._draft, role=self._roles[index])
            case "landing":
                return replace(self._draft, landing=LANDINGS[index][0])
            case "expiry":
                return replace(self._draft, expires_in=LIFETIMES[index][1])
            case _:
                return replace(self._draft, uses=USES[index][1])

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _next(self) -> None:
        problem = self._store()
        if problem is not None:
            self.query_one(".dialog-problem", Static).update(problem)
        elif self.step == "preview":
            self.dismiss(self._draft.invite())
        else:
            path = self._path()
            self._go(path[path.index(self.step) + 1])

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "next":
            self._next()
        else:
            self.action_back()

    def action_back(self) -> None:
        path = self._path()
        at = path.index(self.step)
        if at == 0:
            self.dismiss(None)
        else:
            self._go(path[at - 1])


def _line(label: str, note: str = "") -> Content:
    return joined((label, "bold"), (f"  {note}", "$muted")) if note else Content(label)
