"""The way from a client to this machine as a picture, and the checklist that tests it."""

from textual.content import Content
from textual.reactive import reactive

from uptui.protocol.host_api import Check, RelayView, Snapshot
from uptui.widgets import formatting
from uptui.widgets.status import host_of, relay_state
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, joined, lines, spread

_SIDES = "border-left: solid $frame; border-right: solid $frame; padding: 0 1;"


class LinkDiagram(ViewWidget):
    """`clients ━━ relay.example ━━ demo-box`, the state of each part, and the round trips."""

    DEFAULT_CSS = f"LinkDiagram {{ height: 6; {_SIDES} }}"

    def draw(self, view: View, width: int) -> Content:
        snapshot = view.snapshot
        if snapshot is None:
            return Content.styled("Waiting for the host daemon ...", "$muted")
        relay = snapshot.relay
        return lines(
            self._picture(snapshot, view, width),
            self._fact("relay", self._where(relay, view), width),
            self._fact("state", self._state(relay, view), width),
            self._fact("identity", Content(view.shown(snapshot.share.fingerprint)), width),
            self._fact("streams", self._streams(relay, view), width),
            self._trips(relay, view, width),
        )

    def _picture(self, snapshot: Snapshot, view: View, width: int) -> Content:
        glyphs, relay = view.glyphs, snapshot.relay
        up = relay.status == "up" and view.lost_since is None
        style = "$good" if up else "bold $error"
        reach = max(4, min(14, (width - 50) // 2))
        line = (glyphs.link if up else glyphs.broken) * reach
        name = "relay" if view.private else host_of(relay.url)
        here = view.shown(snapshot.share.alias or snapshot.share.hostname)
        clients = formatting.many(len(snapshot.clients), "client")
        return joined(
            (f" {clients} ", "bold reverse"),
            (glyphs.link * reach, "$primary"),
            (f" {view.shown(name)} ", "bold reverse"),
            (line, style),
            (f" {here} ", "bold reverse"),
        )

    def _where(self, relay: RelayView, view: View) -> Content:
        kind = "built in, on this machine" if relay.embedded else formatting.plain(relay.software)
        url = view.glyphs.hidden * 7 if view.private else view.shown(relay.url)
        return joined(url, (f"  {kind}", "$muted"))

    def _state(self, relay: RelayView, view: View) -> Content:
        since = f"  for {formatting.span(view.now - relay.since)}"
        reason = f"  {view.shown(relay.reason)}" if relay.reason else ""
        refused = f"  refused: {view.shown('; '.join(relay.refused))}" if relay.refused else ""
        return joined(
            relay_state(relay, view), (since, "$muted"), (reason, "$foreground"),
            (refused, "$warning"),
        )  # fmt: skip

    def _streams(self, relay: RelayView, view: View) -> Content:
        way = {"tcp": "straight TCP", "websocket": "WebSocket over HTTPS"}.get(
            relay.transport, "none yet"
        )
        return joined(way, (f"  {view.shown(relay.transport_reason)}", "$muted"))

    def _trips(self, relay: RelayView, view: View, width: int) -> Content:
        if relay.rtt_ms is None:
            return self._fact("round trip", Content.styled("not measured yet", "$muted"), width)
        history = relay.rtt_history
        bars = formatting.spark(history, min(40, max(8, width - 46)), view.glyphs.bars)
        worst = max(history, default=relay.rtt_ms)
        return self._fact(
            "round trip",
            joined(
                (f"{relay.rtt_ms:.0f} ms ", "bold"), (bars, "$primary"),
                (f" worst {worst:.0f} ms", "$muted"),
            ),
            width,
        )  # fmt: skip

    def _fact(self, name: str, value: Content, width: int) -> Content:
        return joined((f"{name:<11}", "$muted"), value).truncate(width, ellipsis=True)


class Checklist(ViewWidget):
    """The connection test: one line per step, with what to do where it failed."""

    DEFAULT_CSS = f"Checklist {{ height: auto; min-height: 1; max-height: 12; {_SIDES} }}"

    checks: reactive[tuple[Check, ...]] = reactive[tuple[Check, ...]]((), layout=True)
    running: reactive[bool] = reactive(default=False)

    def draw(self, view: View, width: int) -> Content:
        if self.running:
            return Content.styled(
                f"{view.glyphs.retry} testing, this takes seconds ...", "$warning"
            )
        if not self.checks:
            return Content.styled(
                "Press T: DNS, proxy, TLS, API, stream port and SSH are tried in turn.",
                "$muted",
            )
        return lines(*(self._line(check, view, width) for check in self.checks))

    def _line(self, check: Check, view: View, width: int) -> Content:
        glyphs = view.glyphs
        sign, style = {
            "ok": (glyphs.ok, "$good"),
            "warning": (glyphs.warning, "$warning"),
            "failed": (glyphs.failed, "bold $error"),
            "skipped": (glyphs.skipped, "$muted"),
        }[check.status]
        hint = f"  {view.glyphs.arrow} {view.shown(check.hint)}" if check.hint else ""
        took = "" if check.took_ms is None else f"{check.took_ms:.0f} ms"
        left = joined(
            (f"{sign} {check.status:<8}", style), (f"{formatting.plain(check.name):<16}", "bold"),
            view.shown(check.detail), (hint, "$warning"),
        )  # fmt: skip
        return spread(width, left, Content.styled(took, "$muted"))
