"""Where acts are done: runs calls to the host, turns errors into words, remembers how to undo."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, runtime_checkable

from textual.app import App
from textual.markup import escape
from textual.screen import Screen

from uptui.errors import UptuiError
from uptui.protocol.terminal import SHARED_ID
from uptui.widgets import formatting
from uptui.widgets.view import View

if TYPE_CHECKING:
    from uptui.client import HostClient

R = TypeVar("R")
DEAF_SECONDS: Final = 0.5
"""How long no key answers a request after another one has come to the front: whoever presses it
has not seen that yet."""
UNDO_SECONDS: Final = 10.0
"""How long an undo toast stays, and how long `u` undoes."""


@dataclass(frozen=True)
class Undo:
    """How to take the last act back."""

    what: str
    until: float
    act: Callable[[], Awaitable[object]]


@runtime_checkable
class Takes(Protocol):
    """A screen that draws views."""

    def take(self, view: View) -> None: ...


class Moves(Protocol):
    """How the app goes from one screen to another."""

    def go(self, place: str) -> None: ...

    def open_client(self, client_id: str) -> None: ...

    def join_terminal(self, terminal: str = SHARED_ID) -> None: ...


class HostCalls:
    """The host client, the running app, and the newest view: what every act needs."""

    def __init__(
        self, app: App[Any], connect: "Callable[[], HostClient]", view: View, moves: Moves
    ) -> None:
        self.app = app
        self._connect = connect
        self._front: str | None = view.pending[0].id if view.pending else None
        self._changed_at = -DEAF_SECONDS
        self._view = view
        self._moves = moves
        self._undo: Undo | None = None

    @property
    def view(self) -> View:
        """The newest, which the screens have been given."""
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        front = view.pending[0].id if view.pending else None
        if front != self._front and (self._front is not None or self.deaf):
            self._changed_at = time.monotonic()
        self._front, self._view = front, view

    @property
    def deaf(self) -> bool:
        """Whether another request than a moment ago is the one that is shown."""
        return time.monotonic() - self._changed_at < DEAF_SECONDS

    @cached_property
    def client(self) -> "HostClient":
        """The host API; made when it is first used, so that it does not delay the first frame."""
        return self._connect()

    def go(self, place: str) -> None:
        """Show a main screen by its name."""
        self._moves.go(place)

    def open_client(self, client_id: str) -> None:
        """Show one client in full."""
        self._moves.open_client(client_id)

    def join_terminal(self, terminal: str = SHARED_ID) -> None:
        """Leave the screen to a terminal of the host."""
        self._moves.join_terminal(terminal)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` beside the screen; what goes wrong is said in a toast."""
        self.app.run_worker(self._guard(work), group="actions")

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (UptuiError, OSError) as error:
            self.complain(str(error))

    async def ask(self, dialog: Screen[R]) -> R | None:
        """Show a dialog and wait for its answer."""
        if isinstance(dialog, Takes):
            dialog.take(self.view)
        self.app.clear_notifications()  # read by now, and they would cover the dialog's buttons
        return await self.app.push_screen_wait(dialog)

    def say(self, text: str, title: str = "") -> None:
        """A toast in plain text."""
        self.app.notify(formatting.plain(text), title=title, markup=False, timeout=5)

    def complain(self, text: str) -> None:
        """A toast that something failed: what, why, and what next are in `text`."""
        self.app.notify(formatting.plain(text), title="That did not work", severity="error",
                        markup=False, timeout=10)  # fmt: skip

    def undoable(self, text: str, undo: Callable[[], Awaitable[object]]) -> None:
        """A toast that offers to take the act back."""
        self._undo = Undo(text, self.view.now + UNDO_SECONDS, undo)
        message = f"{escape(formatting.plain(text))}\n[@click=app.act('undo')][bold]u[/] undo[/]"
        self.app.notify(message, timeout=UNDO_SECONDS)

    def undo(self) -> None:
        """Take the last reversible act back."""
        last, self._undo = self._undo, None
        if last is None or self.view.now > last.until:
            self.say("There is nothing to undo.")
            return
        self.start(self._take_back(last))

    async def _take_back(self, last: Undo) -> None:
        await last.act()
        self.app.clear_notifications()  # the offer to undo is over
        self.say(f"Undone: {last.what}")
