"""The keys that act on the client under the cursor, for every screen that lists clients."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from uptui.protocol.host_api import ClientView
from uptui.screens.base import HostScreen


class ClientKeys(HostScreen):
    """`x` kicks, `m` changes the role, `M` sends a message, `B` blocks the key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "kick", "Kick the selected client", id="kick"),
        Binding("m", "role", "Change the selected client's role", id="role"),
        Binding("M", "message", "Send the selected client a line", id="message"),
        Binding("B", "block", "Kick and block the selected client's key", id="block"),
    ]

    @property
    def client(self) -> ClientView | None:
        """The client that the keys mean."""
        return None

    def _chosen(self) -> ClientView | None:
        client = self.client
        if client is None:
            self.actions.calls.say("No client is selected.")
        return client

    def action_kick(self) -> None:
        client = self._chosen()
        if client is not None:
            self.actions.calls.start(self.actions.access.kick(client))

    def action_block(self) -> None:
        client = self._chosen()
        if client is not None:
            self.actions.calls.start(self.actions.access.kick(client, block=True))

    def action_role(self) -> None:
        client = self._chosen()
        if client is not None:
            self.actions.calls.start(self.actions.access.change_role(client))

    def action_message(self) -> None:
        client = self._chosen()
        if client is not None:
            self.actions.calls.start(self.actions.access.message(client))
