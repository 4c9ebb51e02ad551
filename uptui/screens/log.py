"""The record as it grows: tail, pause, levels, filter, export."""

from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from uptui.protocol.host_api import MAX_LOG_ENTRIES, LogEntry
from uptui.screens.actions import Actions
from uptui.screens.base import HostScreen
from uptui.widgets import formatting
from uptui.widgets.list_panel import Column, ListPanel
from uptui.widgets.status import level_mark
from uptui.widgets.summaries import entry_text
from uptui.widgets.view import View

LEVELS: Final = ("info", "notice", "warning", "error")
ENTRIES: Final[tuple[Column[LogEntry], ...]] = (
    Column("time", lambda e, _: Content.styled(formatting.clock(e.at, seconds=True), "$muted"),
           lambda e: e.at, 8),
    Column("", lambda e, v: level_mark(e.level, v), lambda e: e.level, 1),
    Column("level", lambda e, _: e.level, lambda e: LEVELS.index(e.level), 7, drop=2),
    Column("event", lambda e, v: Content.styled(v.shown(e.event), "$primary"), lambda e: e.event,
           18, drop=1),
    Column("what happened", entry_text, lambda e: e.text, 40, flexible=True),
)  # fmt: skip


class Log(HostScreen):
    """Live unless paused; the cursor at the end follows."""

    PLACE = "log"
    KEYS = (("pause", "Pause"), ("level", "Level"), ("filter", "Filter"), ("export", "Export"),
            ("back", "Back"))  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause or resume", id="pause"),
        Binding("f", "level", "Lowest level shown", id="level"),
        Binding("e", "export", "Export to a file", id="export"),
    ]
    _paused: tuple[LogEntry, ...] | None = None
    _lowest = 0

    def __init__(self, actions: Actions) -> None:
        super().__init__(actions)
        self.entries = ListPanel[LogEntry](
            "Log", ENTRIES, identify=lambda entry: str(entry.n),
            empty="Nothing has happened yet. Joins, requests, transfers and acts appear here.",
            id="log",
        )  # fmt: skip
        self.panels = (self.entries,)

    def compose_body(self) -> ComposeResult:
        yield self.entries

    def show(self, view: View) -> None:
        log = view.snapshot.log if view.snapshot is not None else []
        visible = self._paused if self._paused is not None else log
        kept = [entry for entry in visible if LEVELS.index(entry.level) >= self._lowest]
        panel = self.entries
        rows = panel.rows
        following = rows.highlighted is None or rows.highlighted >= rows.option_count - 1
        state = (
            f"{view.glyphs.paused} PAUSED" if self._paused is not None else f"{view.glyphs.up} LIVE"
        )
        style = "$warning" if self._paused is not None else "$good"
        panel.note = Content.assemble(
            (state, f"bold {style}"), (f"  from {LEVELS[self._lowest]}", "$muted")
        )
        panel.show(kept, view)
        if following and rows.option_count:
            rows.highlighted = rows.option_count - 1

    def action_pause(self) -> None:
        view = self.actions.calls.view
        log = view.snapshot.log if view.snapshot is not None else []
        self._paused = tuple(log) if self._paused is None else None
        self.take(view)

    def action_level(self) -> None:
        self._lowest = (self._lowest + 1) % len(LEVELS)
        self.take(self.actions.calls.view)

    def action_export(self) -> None:
        self.actions.calls.start(self._export())

    async def _export(self) -> None:
        entries = await self.actions.calls.client.log(limit=MAX_LOG_ENTRIES)
        text = "\n".join(msgspec.json.encode(entry).decode() for entry in entries)
        await self.actions.copying.write(text, "uptui-log.jsonl")
