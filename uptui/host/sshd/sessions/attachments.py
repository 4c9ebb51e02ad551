"""The seam between SSH sessions and terminals that outlive them: what each calls on the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from uptui.host.process.pty import Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.sshd.access_control import Arrival, Grant


@dataclass(frozen=True)
class AttachmentSpec:
    """What a PTY session asks for."""

    landing: Literal["shell", "shared"]
    program: Program
    """Login shell with the client's environment and directory, for a terminal started anew."""
    term: str
    """TERM of the client."""
    size: Size
    modes: Mapping[int, int] = field(default_factory=dict[int, int])
    """RFC 4254 section 8 opcodes."""
    take_up: int | None = None
    """Number of the kept shell that is wanted, from 1; None is a new one."""


class Viewer(Protocol):
    """The SSH channel that shows a terminal."""

    @property
    def size(self) -> Size:
        """The client's own window."""
        ...

    @property
    def paused(self) -> bool:
        """True while the client does not keep up: skip it and redraw later."""
        ...

    def write(self, data: bytes) -> None:
        """Show bytes; never blocks. What is written while paused is buffered, so don't."""
        ...

    def hold(self, *, held: bool) -> None:
        """While held, pass no more keys on: the program does not read them."""
        ...

    def finish(self, status: ExitStatus, message: str = "") -> None:
        """Show `message`, send the exit status and close the channel; `vanish` does not follow."""
        ...


class Attachment(Protocol):
    """One viewer's place at a terminal."""

    def type(self, data: bytes) -> None:
        """Keys from the client; dropped when its role may only watch."""
        ...

    def resize(self, size: Size) -> None: ...

    def signal(self, name: str) -> None:
        """An SSH signal request, by its name without SIG; BREAK is a break."""
        ...

    def room(self) -> None:
        """The viewer is no longer paused: redraw what it missed."""
        ...

    def regrant(self, grant: Grant) -> None:
        """The client's role changed."""
        ...

    def notice(self, text: str) -> None:
        """Show the viewer a line of ours where it damages nothing."""
        ...

    def end(self) -> None:
        """The host shows the client out, the last call: its own shell ends, and is not kept."""
        ...

    def vanish(self) -> None:
        """The client is gone, on purpose or not; the last call. A kept shell waits for it."""
        ...


class Terminals(Protocol):
    """Opens attachments. Built by host.terminals; without it each session has a plain PTY."""

    async def open(
        self, viewer: Viewer, spec: AttachmentSpec, grant: Grant, arrival: Arrival
    ) -> Attachment:
        """Attach a viewer to the shared terminal, to its own kept shell, or to a new one.

        Raises RefusedError or OSError with a message for the client.
        """
        ...

    def kept_of(self, arrival: Arrival) -> list[str]:
        """Shells kept for this client's key, in words, in the order of their numbers."""
        ...
