"""One viewer's place at the shared terminal: what it was sent, what it may do, how it is doing."""

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from uptui.core.roles import Capability
from uptui.core.terminal_input import shift_mouse, without_replies
from uptui.core.terminal_size import Area, Window
from uptui.host.process.pty import Size
from uptui.host.sshd.access_control import Grant
from uptui.host.sshd.sessions.attachments import Viewer
from uptui.host.terminals.frame import Frame
from uptui.host.terminals.screen import default_tabs

if TYPE_CHECKING:
    from uptui.host.terminals.shared import SharedTerminal
from uptui.protocol.terminal import RESET

LEAVE_KEY: Final = b"\x1d"
"""^]: how somebody who may only watch leaves."""
RECENT_TYPING_S: Final = 1.0
"""For so long after a key the typist gets output before everybody else."""
MAX_INPUT: Final = 64 * 1024
"""Bytes typed or pasted in one piece that are passed on."""
_UNDONE: Final = re.compile(rb"\x1b(?:\[\?(?:47|1047|1049)([hl])|\[[0-9]*g|H)")
"""Which screen is shown, and tab stops that are set or cleared."""


class ViewMode(Enum):
    """How a viewer is kept up to date."""

    RAW = "raw"
    """It gets the program's own output: its window has the terminal's size and it keeps up."""
    FRAMED = "framed"
    """It gets repaints of the part that fits its window."""
    BEHIND = "behind"
    """It has missed output and gets a whole redraw as soon as it can take one."""


def area_of(size: Size) -> Area:
    """Cells of a window; one that says nothing is taken for 80x24."""
    return Area(size.columns or 80, size.rows or 24)


class SharedViewer:
    """An Attachment to the shared terminal."""

    def __init__(
        self, terminal: "SharedTerminal", client: Viewer, *, name: str, types: bool, host: bool
    ) -> None:
        self.client = client
        self.name = name
        self.can_type = types
        self.host = host
        self.area = area_of(client.size)
        self.view = ViewMode.BEHIND
        self.sent = 0
        """How many of the terminal's pending pieces it has."""
        self.frame = Frame(self.area)
        self._fresh = True
        self._shown = self._alternate = self._tabs = False
        self.typed_at = 0.0
        self.hinted_at = -1e9
        self.redrawn_at = -1e9
        self._terminal = terminal

    @property
    def window(self) -> Window:
        return Window(self.area, self.host, self.typed_at)

    def recent(self, now: float) -> bool:
        """Whether it types right now."""
        return self.typed_at > 0 and now - self.typed_at < RECENT_TYPING_S

    def type(self, data: bytes) -> None:
        """Pass keys on, or say why not."""
        if not self.can_type:
            if LEAVE_KEY in data:
                self._terminal.dismiss(self)
            elif without_replies(data):
                self._terminal.hint(self, "you are watching: keys are not passed on, ^] leaves")
            return
        data = without_replies(data[:MAX_INPUT])
        if self.view is ViewMode.FRAMED:
            size = self._terminal.area
            data = shift_mouse(data, self.frame.left, self.frame.top, size.columns, size.rows)
        if data:
            self._terminal.typed(self, data)

    def resize(self, size: Size) -> None:
        """The viewer's window changed; the terminal follows only if its policy says so."""
        self.area = area_of(size)
        self.frame.resize(self.area)
        self._terminal.window_changed(self)

    def signal(self, name: str) -> None:
        if self.can_type:
            self._terminal.signal(name)

    def room(self) -> None:
        """The viewer can take data again."""
        self._terminal.catch_up(self)

    def regrant(self, grant: Grant) -> None:
        """Apply a changed role at once."""
        if not grant.role.can(Capability.VIEW):
            self._terminal.dismiss(self, "your role no longer includes this terminal")
            return
        types = grant.role.can(Capability.TYPE)
        if types != self.can_type:
            self.can_type = types
            word = "you may type now" if types else "from now on you are watching"
            self._terminal.hint(self, word)
            self._terminal.changed()

    def notice(self, text: str) -> None:
        """Show a line in this window alone, even right after another one."""
        self.hinted_at = -1e9
        self._terminal.hint(self, text)

    def end(self) -> None:
        """The viewer is shown out; the terminal goes on."""
        self._terminal.release(self)

    def vanish(self) -> None:
        """The viewer is gone."""
        self._terminal.leave(self)

    def write(self, data: bytes) -> None:
        """Send the viewer something, and remember what has to be undone."""
        if not self._shown:
            self._shown = True
            data = b"\x1b[22;2t" + data
        for match in _UNDONE.finditer(data):
            if match[1]:
                self._alternate = match[1] == b"h"
            else:
                self._tabs = True
        self.client.write(data)

    def clear(self) -> bytes:
        """The first time, scroll what the window shows into its scrollback."""
        fresh, self._fresh = self._fresh, False
        return b"\x1b[%d;1H" % self.area.rows + b"\n" * self.area.rows if fresh else b""

    def restore(self) -> None:
        """Give the viewer's terminal back as it was: modes, screen, tabs and title."""
        if not self._shown:
            return
        place = b"\x1b[?1049l" if self._alternate else b"\x1b[%d;1H\r\n" % self.area.rows
        tabs = default_tabs(self.area.columns) if self._tabs else b""
        self.write(RESET + tabs + place + b"\x1b[23;2t")
