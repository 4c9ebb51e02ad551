"""What a screen draws at one moment: the snapshot, the time, and how much of it may be shown."""

import re
from dataclasses import dataclass, field

from uptui.protocol.host_api import ClientView, Pending, Snapshot
from uptui.protocol.names import INVITE_LENGTH, INVITE_PREFIX
from uptui.widgets import formatting
from uptui.widgets.glyphs import UNICODE, Glyphs

_PUBLIC_LENGTH = len(INVITE_PREFIX) + INVITE_LENGTH
_SECRET = re.compile(r"\binv-[a-z2-7]{10}(?:-[a-z2-7]{26})?\b|\b[a-z2-7]{26}\b")
_ADDRESS = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w:])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])"
)


@dataclass(frozen=True)
class View:
    """Immutable; the app makes a new one whenever anything changed, and it flows down."""

    now: float
    snapshot: Snapshot | None = None
    lost_since: float | None = None
    """When the host daemon was last heard, if it is silent now."""
    lost_why: str = ""
    private: bool = False
    """Hide addresses and tokens: the screen is being shared."""
    revealed: bool = False
    """Show tokens in full for a moment."""
    glyphs: Glyphs = field(default=UNICODE)

    @property
    def pending(self) -> list[Pending]:
        """Who waits, oldest first; those whose time is over are gone."""
        if self.snapshot is None:
            return []
        waiting = [one for one in self.snapshot.pending if one.expires_at > self.now]
        return sorted(waiting, key=lambda one: one.asked_at)

    @property
    def clients(self) -> list[ClientView]:
        return [] if self.snapshot is None else self.snapshot.clients

    def shown(self, text: str) -> str:
        """`text` with tokens and invites masked, unless they are revealed; harmless to draw."""
        text = formatting.plain(text)
        if not self.revealed:
            text = _SECRET.sub(self._mask, text)
        return _ADDRESS.sub(self._dots(7), text) if self.private else text

    def address(self, text: str) -> str:
        """A client's address, or dots in privacy mode."""
        return self._dots(7) if self.private else formatting.plain(text)

    def fingerprint(self, text: str, keep: int = 8) -> str:
        return formatting.fingerprint(formatting.plain(text), keep, self.glyphs.ellipsis)

    def clip(self, text: str, width: int) -> str:
        return formatting.clip(text, width, self.glyphs.ellipsis)

    def _mask(self, match: re.Match[str]) -> str:
        """Of an invite the public half may be seen, of a secret half nothing."""
        found = match.group()
        if self.private:
            return self._dots(6)
        if found.startswith(INVITE_PREFIX):
            public, secret = found[:_PUBLIC_LENGTH], found[_PUBLIC_LENGTH:]
            return f"{public}-{self._dots(6)}" if secret else public
        follows = match.string[: match.start()].endswith("-")
        return ("" if follows else found[:4]) + self._dots(6)

    def _dots(self, count: int) -> str:
        return self.glyphs.hidden * count
