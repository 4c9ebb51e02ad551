"""Every act of the TUI, grouped by what it is about."""

from dataclasses import dataclass

from uptui.screens.access import AccessActions
from uptui.screens.copying import Copying
from uptui.screens.host_calls import HostCalls
from uptui.screens.sharing import Sharing


@dataclass(frozen=True)
class Actions:
    """What screens do things through."""

    calls: HostCalls
    access: AccessActions
    copying: Copying
    sharing: Sharing

    @classmethod
    def at(cls, calls: HostCalls) -> "Actions":
        """All acts through `calls`."""
        copying = Copying(calls)
        return cls(calls, AccessActions(calls), copying, Sharing(calls, copying))
