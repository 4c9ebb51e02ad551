"""What a session channel and whatever serves it know of each other."""

from collections.abc import Mapping
from typing import Protocol

from uptui.host.process.pty import Size


class Runner(Protocol):
    """Whatever serves the channel once it is let in."""

    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class PtyRequest:
    """What the client said about its terminal."""

    def __init__(self, term: str, size: Size, modes: Mapping[int, int]) -> None:
        self.term = term
        self.size = size
        self.modes = modes
