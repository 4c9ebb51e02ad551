"""The settings as they are now: configured ones, those changed live, and the remembered alias."""

import msgspec

from uptui.config import OPTIONS, Settings, ValueOrigin
from uptui.errors import ApiError
from uptui.host.storage.state_directory import StateDir
from uptui.protocol import host_api
from uptui.protocol.host_api import SettingValue

LIVE = ValueOrigin("live", "changed while running")
ALIAS = "host.alias"


class HostDocument(msgspec.Struct, kw_only=True):
    """What was chosen while running and outlives the daemon."""

    version: int = 1
    alias: str | None = None
    alias_chosen: bool = False
    """True: `alias`, even None, was chosen in the UI and wins over an absent setting."""


class Tuning:
    """Immutable Settings replaced as a whole on each change."""

    def __init__(self, configured: Settings, state: StateDir) -> None:
        self._configured = configured
        self._state = state
        self._live: dict[str, SettingValue] = {}
        self.now = configured
        document = state.load("host", HostDocument) or HostDocument()
        if document.alias_chosen and configured.host.alias is None and document.alias:
            self.now = configured.changed(
                ALIAS, document.alias, ValueOrigin("live", "chosen earlier")
            )

    @property
    def alias(self) -> str | None:
        return self.now.host.alias

    def change(self, key: str, value: SettingValue) -> str:
        """Change a live setting, or take a change back (None); returns its full key.

        Raises ApiError for one that needs a restart, ConfigError for a bad key or value.
        """
        full = key if key in OPTIONS else f"host.{key}"
        option = OPTIONS.get(full)
        if option is None:
            raise ApiError(404, "No such setting", f"{key!r}; `uptui settings` lists them")
        if not option.live:
            raise ApiError(409, "Needs a restart", f"{full} cannot be changed while sharing")
        if value is None:
            self._live.pop(full, None)
            old, origin = self._configured.get(full), self._configured.origin(full)
            self.now = self.now.changed(full, host_value(old), origin)
        else:
            self.now = self.now.changed(full, value, LIVE)
            self._live[full] = value
        return full

    def choose_alias(self, alias: str | None) -> None:
        """Serve under another alias; not yet remembered. Raises ConfigError for a bad one."""
        self.now = self.now.changed(ALIAS, alias or "", LIVE)

    def remember_alias(self) -> None:
        """Raises StateError."""
        self._state.save("host", HostDocument(alias=self.alias, alias_chosen=True))

    def rows(self) -> list[host_api.Setting]:
        return self.now.rows()


def host_value(value: object) -> object:
    """A parsed value in a form that its parser takes again."""
    return "" if value is None else value
