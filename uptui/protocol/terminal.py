"""Attaching to a terminal over the host API: the WebSocket `GET /v1/terminal`.

Binary frames are bytes of the terminal in both directions. Text frames are these messages as JSON,
told apart by their `type`. The client speaks first, with Hello; TerminalEnded is the server's
last message.
"""

from typing import Final

import msgspec

PATH: Final = "/v1/terminal"
SHARED_ID: Final = "shared"
"""Id of the shared terminal."""
PROGRAM_PREFIX: Final = "program-"
"""What ids of programs left running begin with; they are listed and ended like terminals."""
INSIDE_VARIABLE: Final = "UPTUI_TERMINAL"
"""Environment variable that names the terminal that a program runs in."""
MAX_FRAME: Final = 64 * 1024
"""Bytes in one frame from the client."""
RESET: Final = (
    b"\x1b[?2026l\x1b[!p\x1b[?9;1000;1002;1003;1004;1005;1006;1015;1016;2004;69;45;66;1;5;6l"
    b"\x1b[?7h\x1b[?25h\x1b[4l\x1b[20l\x1b>\x1b(B\x1b)B\x1b*B\x1b+B\x0f\x1b[r\x1b[0m\x1b[0 q"
    b'\x1b[>4m\x1b[0"q\x1b]8;;\x1b\\'
)
"""Everything that output may have changed on a screen, back to what terminals start with.

A hard reset would also throw the viewer's scrollback away.
"""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Client: attach me to this terminal, in a window of this size."""

    columns: int
    rows: int
    terminal: str = SHARED_ID
    """Id of a host_api.Terminal."""
    watch: bool = False
    """Do not pass keys on."""


class Resize(msgspec.Struct, frozen=True, kw_only=True, tag="resize"):
    """Client: my window has another size now."""

    columns: int
    rows: int


class Leave(msgspec.Struct, frozen=True, kw_only=True, tag="leave"):
    """Client: give me my screen back; TerminalEnded follows."""


class TerminalEnded(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Server: this is over. `code` is the program's exit code, when it has ended."""

    message: str = ""
    code: int | None = None


class RecordingChange(msgspec.Struct, frozen=True, kw_only=True):
    """PUT /v1/terminals/shared/recording."""

    recording: bool


ClientMessage = Hello | Resize | Leave
