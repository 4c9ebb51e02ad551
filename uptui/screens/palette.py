"""The command palette: every command, and kick, role and details for each client by name."""

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from uptui.screens.base import HostScreen
from uptui.screens.commands import COMMANDS, EXTRA
from uptui.widgets import formatting

Entry = tuple[str, str, Callable[[], object]]


class CommandProvider(Provider):
    """Searches what can be done now."""

    def _entries(self) -> Iterator[Entry]:
        for command in (*COMMANDS, *EXTRA):
            if command.in_palette:
                run = partial(self.app.run_action, command.action)
                key = command.keys.partition(",")[0]
                yield command.label, f"key {key}" if key else "", run
        below = [screen for screen in self.app.screen_stack if isinstance(screen, HostScreen)]
        if below:
            yield from _client_entries(below[-1])

    async def discover(self) -> Hits:
        for label, note, run in self._entries():
            yield DiscoveryHit(label, run, help=note or None)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for label, note, run in self._entries():
            score = matcher.match(label)
            if score > 0:
                yield Hit(score, matcher.highlight(label), run, help=note or None)


def _client_entries(screen: HostScreen) -> Iterator[Entry]:
    actions = screen.actions
    for client in actions.calls.view.clients:
        name = formatting.plain(client.name)
        yield f"Show {name}", client.program, partial(actions.calls.open_client, client.id)
        yield f"Kick {name}", "", partial(_start_kick, screen, client.id)
        yield f"Change the role of {name}", client.role, partial(_start_role, screen, client.id)


def _start_kick(screen: HostScreen, client_id: str) -> None:
    for client in screen.actions.calls.view.clients:
        if client.id == client_id:
            screen.actions.calls.start(screen.actions.access.kick(client))


def _start_role(screen: HostScreen, client_id: str) -> None:
    for client in screen.actions.calls.view.clients:
        if client.id == client_id:
            screen.actions.calls.start(screen.actions.access.change_role(client))
