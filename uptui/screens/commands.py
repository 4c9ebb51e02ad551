"""The commands of every screen: one table of ids, keys, words and acts for keys and palette."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from textual.binding import Binding

from uptui.screens.actions import Actions

Work = Coroutine[Any, Any, None]


@dataclass(frozen=True)
class Command:
    """One thing to do from anywhere; `id` is what a keymap in the configuration names."""

    id: str
    keys: str
    label: str
    action: str
    in_palette: bool = True

    def binding(self) -> Binding:
        return Binding(self.keys, self.action, self.label, id=self.id)


async def _approve(actions: Actions) -> None:
    one = actions.access.oldest()
    if one is not None:
        await actions.access.approve(one)


async def _deny(actions: Actions) -> None:
    one = actions.access.oldest()
    if one is not None:
        await actions.access.deny(one)


async def _review(actions: Actions) -> None:
    one = actions.access.oldest()
    if one is not None:
        await actions.access.review(one)


async def _undo(actions: Actions) -> None:
    actions.calls.undo()


ACTS: Final[dict[str, Callable[[Actions], Work]]] = {
    "approve": _approve,
    "deny": _deny,
    "review": _review,
    "undo": _undo,
    "copy": lambda actions: actions.copying.copy_primary(),
    "formats": lambda actions: actions.copying.formats(),
    "qr": lambda actions: actions.copying.qr_primary(),
    "invite": lambda actions: actions.sharing.invite(),
    "kick-all": lambda actions: actions.access.kick_all(),
    "rotate": lambda actions: actions.sharing.rotate(),
    "rotate-kick": lambda actions: actions.sharing.rotate_and_kick(),
    "lock": lambda actions: actions.sharing.lock(),
    "reconnect-relay": lambda actions: actions.sharing.reconnect(),
    "record": lambda actions: actions.sharing.record(),
    "claim-alias": lambda actions: actions.sharing.claim_alias(),
    "stop": lambda actions: actions.sharing.stop(),
}
"""What `app.act(...)` runs."""


def _act(name: str, keys: str, label: str) -> Command:
    return Command(name, keys, label, f"app.act('{name}')")


def _go(key: str, place: str, label: str) -> Command:
    return Command(f"go-{place}", key, label, f"app.go('{place}')")


COMMANDS: Final[tuple[Command, ...]] = (
    _go("1", "dashboard", "Dashboard"),
    _go("2", "invites", "Invites"),
    _go("3", "relay", "Relay and alias"),
    _go("4", "ports", "Ports"),
    _go("5", "clients", "Clients and people"),
    _go("6", "log", "Log"),
    _go("7", "settings", "Settings"),
    Command("help", "question_mark,f1", "Help for this screen", "app.help"),
    Command("palette", "ctrl+p,colon", "Command palette", "app.command_palette", in_palette=False),
    _act("copy", "c", "Copy the connection string"),
    _act("formats", "C", "All formats of the string"),
    _act("qr", "Q", "QR code of the string"),
    _act("approve", "A", "Approve the oldest request"),
    _act("deny", "D", "Deny the oldest request"),
    _act("review", "a", "Review the oldest request"),
    _act("invite", "i", "New invite"),
    _act("kick-all", "X", "Kick everybody"),
    _act("rotate", "r", "Rotate the session token"),
    _act("rotate-kick", "R", "Rotate and disconnect everyone"),
    _act("lock", "L", "Lock or unlock: refuse new joins"),
    Command("terminal", "t", "Join the shared terminal", "app.join_terminal"),
    _act("undo", "u", "Undo the last act"),
    Command("reveal", "v", "Reveal tokens for ten seconds", "app.reveal"),
    Command("privacy", "P", "Privacy mode: hide addresses and tokens", "app.privacy"),
    Command("shell", "exclamation_mark", "Suspend to a shell", "app.shell"),
    Command("screenshot", "ctrl+s", "Save an SVG screenshot", "app.save_picture"),
    _act("stop", "ctrl+x", "Stop sharing"),
    Command("detach", "q", "Detach: the share goes on", "app.detach"),
)
EXTRA: Final = (
    _act("reconnect-relay", "", "Reconnect to the relay now"),
    _act("record", "", "Record the shared terminal, or stop"),
    _act("claim-alias", "", "Claim or change the alias"),
)
"""Reached by the palette alone, or by a key of one screen."""
