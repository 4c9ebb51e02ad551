"""The Textual app: follows one host daemon and shows its snapshots; screens do the rest.

It draws what `events()` says, and every act is a call of the host API. Quitting detaches.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.command import Provider
from textual.css.query import NoMatches
from textual.screen import Screen

from uptui.errors import UptuiError
from uptui.paths import Places
from uptui.protocol.host_api import Snapshot
from uptui.protocol.names import ClientId
from uptui.protocol.terminal import SHARED_ID
from uptui.runtime.foreground import run_here
from uptui.runtime.reaper import Orphans
from uptui.screens import commands, theme
from uptui.screens.actions import Actions
from uptui.screens.base import HostScreen
from uptui.screens.driver import Driver
from uptui.screens.host_calls import HostCalls, Takes
from uptui.widgets import glyphs
from uptui.widgets.glyphs import Glyphs
from uptui.widgets.view import View

if TYPE_CHECKING:
    from uptui.client import HostClient

REVEAL_SECONDS: Final = 10.0
"""How long `v` shows tokens."""
RETRY_SECONDS: Final = 1.0
"""Between two tries to reach a lost daemon."""


def _main_screen(place: str, actions: Actions) -> HostScreen:
    """The screen of that name; its module is loaded when it is first shown."""
    match place:
        case "invites":
            from uptui.screens.invites import InvitesScreen as Chosen
        case "relay":
            from uptui.screens.relay import RelayScreen as Chosen
        case "ports":
            from uptui.screens.ports import Ports as Chosen
        case "clients":
            from uptui.screens.clients import Clients as Chosen
        case "log":
            from uptui.screens.log import Log as Chosen
        case "settings":
            from uptui.screens.settings import SettingsScreen as Chosen
        case _:
            from uptui.screens.dashboard import Dashboard as Chosen
    return Chosen(actions)


def _palette() -> type[Provider]:
    from uptui.screens.palette import CommandProvider

    return CommandProvider


@dataclass(frozen=True)
class Looks:
    """The [tui] settings."""

    ascii: str = "auto"
    """auto (by the locale), always or never."""
    private: bool = False
    bell: bool = True
    theme: str | None = None

    def signs(self) -> Glyphs:
        """The signs to draw with."""
        if self.ascii == "auto":
            return glyphs.pick()
        return glyphs.ASCII if self.ascii == "always" else glyphs.UNICODE


DEFAULT_LOOKS: Final = Looks()


class UptuiApp(App[None]):
    """One view that flows down, one worker that follows the daemon."""

    TITLE = "uptui"
    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    BINDINGS: ClassVar[list[BindingType]] = [command.binding() for command in commands.COMMANDS]

    def __init__(
        self,
        connect: "Callable[[], HostClient]",
        *,
        keymap: Mapping[str, str] | None = None,
        places: Places | None = None,
        join: Callable[[str], None] | None = None,
        looks: Looks = DEFAULT_LOOKS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(driver_class=Driver)
        self._clock = clock
        self._places = places
        self._join = join
        self._heard: set[str] = set()
        self._reveal_until = 0.0
        view = View(now=clock(), glyphs=looks.signs(), private=looks.private)
        self.actions = Actions.at(HostCalls(self, connect, view, self))
        for place in ("dashboard", "invites", "relay", "ports", "clients", "log", "settings"):
            self.add_mode(place, partial(_main_screen, place, self.actions))  # pyright: ignore[reportUnknownMemberType]
        self.register_theme(theme.UPTUI)
        known = looks.theme in self.available_themes
        self.theme = looks.theme if looks.theme and known else theme.UPTUI.name
        self._rings = looks.bell
        self.set_keymap(dict(keymap or {}))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return theme.DEFAULTS

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        del screen
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)

    def _fatal_error(self) -> None:
        """Say what broke without local variables: they hold tokens and addresses."""
        from rich.traceback import Traceback

        self.panic(Traceback(show_locals=False))

    @property
    def view(self) -> View:
        """What the screens draw now."""
        return self.actions.calls.view

    def on_mount(self) -> None:
        self.switch_mode("dashboard")
        self.set_interval(1.0, self.tick)
        self.run_worker(self._follow(), group="events", exit_on_error=True)
        self.run_worker(Orphans().run(), group="orphans")

    def tick(self) -> None:
        """Let countdowns and ages move on."""
        now = self._clock()
        self.change(now=now, revealed=now < self._reveal_until)

    def change(self, **changes: Any) -> None:
        """Make a new view and hand it to every screen of the stack."""
        self.actions.calls.view = replace(self.view, **changes)
        for screen in self.screen_stack:
            if isinstance(screen, Takes) and screen.is_mounted:
                with suppress(NoMatches):  # a screen that is being taken down has lost its parts
                    screen.take(self.view)

    async def _follow(self) -> None:
        while True:
            why = "the daemon has stopped"
            try:
                async for event in self.actions.calls.client.events():
                    if isinstance(event, Snapshot):
                        self.received(event)
            except UptuiError as error:
                why = str(error)
            snapshot = self.view.snapshot
            since = snapshot.taken_at if snapshot is not None else self._clock()
            self.change(now=self._clock(), lost_since=self.view.lost_since or since, lost_why=why)
            await asyncio.sleep(RETRY_SECONDS)

    def received(self, snapshot: Snapshot) -> None:
        """Draw a new snapshot; ring for requests that were not there before."""
        waiting = {one.id for one in snapshot.pending}
        if self._rings and waiting - self._heard:
            self.bell()
        self._heard = {*waiting}
        self.change(now=self._clock(), snapshot=snapshot, lost_since=None, lost_why="")

    def action_act(self, name: str) -> None:
        self.actions.calls.start(commands.ACTS[name](self.actions))

    def action_go(self, place: str) -> None:
        self.go(place)

    def go(self, place: str) -> None:
        """Show a main screen."""
        self.switch_mode(place)

    def open_client(self, client_id: str) -> None:
        """Show one client in full, over the current screen."""
        from uptui.screens.client_detail import ClientDetail

        self.push_screen(ClientDetail(self.actions, ClientId(client_id)))

    def action_help(self) -> None:
        keys: dict[str, list[str]] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.id and active.binding.description:
                display = self.get_key_display(active.binding)
                keys.setdefault(active.binding.description, []).append(display)
        listed = [(" ".join(displays), what) for what, displays in keys.items()]
        self.actions.calls.start(self._help(listed))

    async def _help(self, keys: list[tuple[str, str]]) -> None:
        from uptui.screens.help import Help, HelpText, diagnostics

        places = self._places
        files = (
            []
            if places is None
            else [
                ("settings", str(places.config_file)),
                ("state", str(places.state_dir)),
                ("record", str(places.event_log)),
                ("socket", str(places.api_socket)),
            ]
        )
        if await self.actions.calls.ask(Help(keys, HelpText(files))) == "diagnostics":
            text = "\n".join(diagnostics(self.view))
            await self.actions.copying.texts("Diagnostics", {"diagnostics": text})

    def action_reveal(self) -> None:
        self._reveal_until = self._clock() + REVEAL_SECONDS
        self.tick()

    def action_privacy(self) -> None:
        self.change(private=not self.view.private)

    def action_join_terminal(self) -> None:
        self.join_terminal()

    def join_terminal(self, terminal: str = SHARED_ID) -> None:
        """Give the terminal to one of the host's until it is left with ^]."""
        if self._join is None:
            self.actions.calls.complain("This host shares no terminal.")
            return
        with self.suspend():
            self._join(terminal)
        self.refresh(layout=True)

    def action_shell(self) -> None:
        with self.suspend():
            run_here([os.environ.get("SHELL") or "/bin/sh"])
        self.refresh(layout=True)

    def action_save_picture(self) -> None:
        try:
            path = self.save_screenshot()
        except OSError as error:
            self.actions.calls.complain(f"The screenshot cannot be written: {error}")
            return
        self.actions.calls.say(f"Screenshot: {Path(path).absolute()}")

    async def action_quit(self) -> None:
        self.action_detach()

    def action_detach(self) -> None:
        """Leave; the caller of `run` says how to come back and how to stop."""
        self.exit()


def run(
    connect: "Callable[[], HostClient]",
    *,
    keymap: Mapping[str, str] | None = None,
    places: Places | None = None,
    join: Callable[[str], None] | None = None,
    looks: Looks = DEFAULT_LOOKS,
) -> int:
    """Show the TUI until it is left or its terminal is gone; the exit code of the process.

    `connect` makes the client of the host API once the first frame is drawn. `keymap` maps command
    ids to keys, `places` are the paths that help names, and `join` takes the terminal over for the
    shared terminal and returns when it is left.
    """
    app = UptuiApp(connect, keymap=keymap, places=places, join=join, looks=looks)
    app.run()
    return app.return_code or 0
