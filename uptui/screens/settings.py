"""Settings: every value, where it came from, and a change that is checked at once."""

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from uptui.protocol.host_api import Setting
from uptui.screens.actions import Actions
from uptui.screens.base import HostScreen
from uptui.widgets import formatting
from uptui.widgets.divider import Divider
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget


def _value(setting: Setting, view: View) -> Content:
    value = setting.value
    if value is None:
        return Content.styled("not set", "$muted")
    if isinstance(value, bool):
        return Content.styled("yes" if value else "no", "bold")
    return Content.styled(view.shown(setting.text) or "empty", "bold")


def _origin(setting: Setting, _: View) -> Content:
    style = "$muted" if setting.origin == "default" else "$accent"
    return Content.styled(setting.origin, style)


def _change(setting: Setting, view: View) -> Content:
    if setting.live:
        return Content.styled(f"{view.glyphs.up} now", "$good")
    return Content.styled("restart", "$muted")


SETTINGS: Final[tuple[Column[Setting], ...]] = (
    Column("setting", lambda s, _: formatting.plain(s.key), lambda s: s.key, 26),
    Column("value", _value, lambda s: str(s.value), 20, flexible=True),
    Column("origin", _origin, lambda s: s.origin, 7),
    Column("from", lambda s, v: v.shown(s.where), lambda s: s.where, 28, drop=3),
    Column("changes", _change, lambda s: s.live, 7, drop=1),
)


class SettingHelp(ViewWidget):
    """What the selected setting does."""

    DEFAULT_CSS = """
    SettingHelp { height: 2; padding: 0 1; border-left: solid $frame; border-right: solid $frame;
        color: $muted; }
    """

    setting: Setting | None = None

    def draw(self, view: View, width: int) -> Content:
        del width
        if self.setting is None:
            return Content("Enter changes the selected setting.")
        return Content(view.shown(self.setting.help))


class SettingsScreen(HostScreen):
    """The list, with the help of the selected one below it."""

    PLACE = "settings"
    KEYS = (("change", "Change"), ("filter", "Filter"), ("sort", "Sort"), ("stop", "Stop sharing"),
            ("back", "Back"))  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "change", "Change the selected setting", id="change"),
    ]

    class Loaded(Message):
        """The host sent its settings."""

        def __init__(self, settings: list[Setting]) -> None:
            super().__init__()
            self.settings = settings

    _settings: tuple[Setting, ...] = ()

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.settings = ListPanel[Setting](
            "Settings", SETTINGS, identify=lambda setting: setting.key,
            empty="Asking the host for its settings ...", id="settings",
        )  # fmt: skip
        self.panels = (self.settings,)

    def compose_body(self) -> ComposeResult:
        yield self.settings
        yield Divider("About", id="about")
        yield SettingHelp()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.actions.calls.start(self._load())

    async def _load(self) -> None:
        self.post_message(self.Loaded(await self.actions.calls.client.settings()))

    @on(Loaded)
    def _loaded(self, event: Loaded) -> None:
        self._settings = tuple(event.settings)
        self.take(self.actions.calls.view)

    def show(self, view: View) -> None:
        self.settings.show(self._settings, view)
        self._explain()

    @on(ListPanel.Moved)
    def _explain(self) -> None:
        helper = self.query_one(SettingHelp)
        helper.setting = self.settings.selected
        helper.refresh()

    @on(ListPanel.Opened)
    def action_change(self) -> None:
        setting = self.settings.selected
        if setting is not None:
            self.actions.calls.start(self._change(setting))

    async def _change(self, setting: Setting) -> None:
        await self.actions.sharing.change_setting(setting)
        await self._load()
