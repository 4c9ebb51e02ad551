"""Bandwidth: one line in the frame, or a chart of both directions."""

from textual.content import Content
from textual.reactive import reactive

from uptui.protocol.host_api import Traffic
from uptui.widgets import formatting
from uptui.widgets.divider import Divider
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, joined, lines, spread

ROOM_FOR_BARS = 64
"""Cells from which the line has sparklines; below, the rates alone."""


def _totals(traffic: Traffic, *, long: bool) -> tuple[list[float], list[float]]:
    if long:
        return (
            [value / 60 for value in traffic.minutes_received],
            [value / 60 for value in traffic.minutes_sent],
        )
    return [float(v) for v in traffic.seconds_received], [float(v) for v in traffic.seconds_sent]


class TrafficLine(Divider):
    """`↓ 1.2 MB/s ▁▂▅▇▅▂ peak 3.1 ──── ↑ 90 kB/s ▁▁▂▁  60s`."""

    long: reactive[bool] = reactive(default=False)
    frozen: reactive[Traffic | None] = reactive[Traffic | None](None)

    def contents(self, view: View, width: int) -> tuple[Content, Content]:
        if view.snapshot is None:
            return Content.styled("Traffic", "bold $foreground"), Content("")
        traffic = self.frozen or view.snapshot.traffic
        received, sent = _totals(traffic, long=self.long)
        if width < ROOM_FOR_BARS:
            return (
                Content.styled(
                    f"{view.glyphs.received} {formatting.rate(traffic.receive_rate)}",
                    "bold $primary",
                ),
                joined(
                    (f"{view.glyphs.sent} {formatting.rate(traffic.send_rate)}", "bold $accent"),
                    (f"  {self._window(view)}", "$muted"),
                ),
            )
        bars = max(4, (width - 52) // 2)
        peak = formatting.rate(max(received, default=0))
        left = joined(
            (f"{view.glyphs.received} {formatting.rate(traffic.receive_rate)} ", "bold $primary"),
            (
                formatting.spark(formatting.squeeze(received, bars), bars, view.glyphs.bars),
                "$primary",
            ),
            (f" peak {peak}", "$muted"),
        )
        right = joined(
            (f"{view.glyphs.sent} {formatting.rate(traffic.send_rate)} ", "bold $accent"),
            (formatting.spark(formatting.squeeze(sent, bars), bars, view.glyphs.bars), "$accent"),
            (f" {self._window(view)}", "$muted"),
        )
        return left, right

    def _window(self, view: View) -> str:
        if self.frozen is not None:
            return f"{view.glyphs.paused} PAUSED"
        return "24h" if self.long else "60s"


class TrafficChart(ViewWidget):
    """Two charts over one another, each half of the height, with their peaks."""

    DEFAULT_CSS = """
    TrafficChart {
        height: 1fr; padding: 0 1; border-left: solid $frame; border-right: solid $frame;
    }
    """

    long: reactive[bool] = reactive(default=False)
    frozen: reactive[Traffic | None] = reactive[Traffic | None](None)

    def draw(self, view: View, width: int) -> Content:
        height = self.content_size.height
        if view.snapshot is None or height < 2:
            return Content("")
        traffic = self.frozen or view.snapshot.traffic
        received, sent = _totals(traffic, long=self.long)
        down = (height + 1) // 2
        glyphs = view.glyphs
        return lines(
            *self._half(view, f"{glyphs.received} in", received, "$primary", width, down),
            *self._half(view, f"{glyphs.sent} out", sent, "$accent", width, height - down),
        )

    def _half(
        self, view: View, name: str, values: list[float], style: str, width: int, height: int
    ) -> list[Content]:
        now, peak = values[-1] if values else 0.0, max(values, default=0.0)
        head = spread(
            width,
            joined((f"{name} {formatting.rate(now)}", f"bold {style}")),
            Content.styled(f"peak {formatting.rate(peak)}", "$muted"),
        )
        columns = formatting.squeeze(_stretched(values, width), width)
        rows = formatting.chart(columns, width, max(0, height - 1), view.glyphs.bars)
        return [head, *(Content.styled(row, style) for row in rows)][:height]


def _stretched(values: list[float], width: int) -> list[float]:
    """`values` repeated so that a short series fills a wide chart evenly."""
    times = width // len(values) if values else 1
    return [value for value in values for _ in range(times)] if times > 1 else values
