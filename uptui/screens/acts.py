"""Every act of the TUI, grouped by what it is about."""

from dataclasses import dataclass

from uptui.screens.access import Access
from uptui.screens.copying import Copying
from uptui.screens.desk import Desk
from uptui.screens.sharing import Sharing


@dataclass(frozen=True)
class Acts:
    """What screens do things through."""

    desk: Desk
    access: Access
    copying: Copying
    sharing: Sharing

    @classmethod
    def at(cls, desk: Desk) -> "Acts":
        """All acts of one desk."""
        copying = Copying(desk)
        return cls(desk, Access(desk), copying, Sharing(desk, copying))
