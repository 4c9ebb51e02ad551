"""Ports and log in as many lines as there are: the dashboard's lower half."""

from textual.content import Content

from uptui.protocol.host_api import Forward, ListeningPort, LogEntry, Snapshot
from uptui.widgets import formatting
from uptui.widgets.status import level_mark
from uptui.widgets.view import View
from uptui.widgets.view_widget import ViewWidget, joined, lines, spread


def entry_text(entry: LogEntry, view: View) -> Content:
    """What happened, with how often and who did it in front."""
    who = f"{view.shown(entry.actor)} " if entry.actor else ""
    return joined((entry.repeats, "$warning"), (who, "bold"), view.shown(entry.text))


def connections(snapshot: Snapshot, port: int) -> int:
    """Open connections that are forwarded to `port` of this machine."""
    return sum(
        forward.connections
        for forward in snapshot.forwards
        if forward.direction == "local" and forward.target.rpartition(":")[2] == str(port)
    )


def _port(snapshot: Snapshot, port: ListeningPort, view: View) -> Content:
    used = connections(snapshot, port.port)
    mark = (
        (f" {view.glyphs.up} {formatting.many(used, 'conn')}", "$good") if used else ("", "$muted")
    )
    return joined(
        (str(port.port), "bold $primary"),
        (f" {view.shown(port.process) or 'unknown'}", "$foreground"),
        mark,
    )


class PortsBrief(ViewWidget):
    """`3000 node ● 2 conns   5432 postgres`, in a line or as a list."""

    DEFAULT_CSS = """
    PortsBrief { height: 1; padding: 0 1; border-left: solid $frame; border-right: solid $frame; }
    """

    def draw(self, view: View, width: int) -> Content:
        snapshot, height = view.snapshot, self.content_size.height
        if snapshot is None:
            return Content("")
        ports = sorted(
            snapshot.ports, key=lambda port: (-connections(snapshot, port.port), port.port)
        )
        if height <= 1:
            return self._line(snapshot, ports, view)
        if not ports and not snapshot.forwards:
            return Content.styled("Nothing listens here yet. Start a server to see it.", "$muted")
        rows = [_port(snapshot, port, view) for port in ports]
        rows += [self._forward(forward, view, width) for forward in snapshot.forwards]
        return lines(*(row.truncate(width) for row in rows[:height]))

    def _line(self, snapshot: Snapshot, ports: list[ListeningPort], view: View) -> Content:
        head = Content.styled("Ports  ", "bold $muted")
        if not ports:
            return joined(head, ("nothing listens in this machine yet", "$muted"))
        return joined(head, Content("   ").join(_port(snapshot, port, view) for port in ports))

    def _forward(self, forward: Forward, view: View, width: int) -> Content:
        sign = view.glyphs.received if forward.direction == "local" else view.glyphs.sent
        amount = formatting.size(forward.received + forward.sent)
        left = joined(
            (f"{sign} ", "$primary"),
            view.shown(forward.client_name),
            (f" {view.glyphs.arrow} ", "$muted"),
            view.shown(forward.target or forward.listen),
        )
        note = f"{formatting.many(forward.connections, 'conn')}  {amount}"
        return spread(width, left, Content.styled(note, "$muted"))


class LogBrief(ViewWidget):
    """The newest log lines, newest last."""

    DEFAULT_CSS = """
    LogBrief { height: 3; padding: 0 1; border-left: solid $frame; border-right: solid $frame; }
    """

    def draw(self, view: View, width: int) -> Content:
        height = self.content_size.height
        log = view.snapshot.log if view.snapshot is not None else []
        if not log:
            return Content.styled("The record of what happens comes here.", "$muted")
        head = Content.styled("Log    ", "bold $muted") if height <= 3 else Content("")
        blank = Content(" " * len(head.plain))
        rows = [self._entry(entry, view) for entry in log[-height:]]
        return lines(
            *(
                joined(head if index == 0 else blank, row).truncate(width, ellipsis=True)
                for index, row in enumerate(rows)
            )
        )

    def _entry(self, entry: LogEntry, view: View) -> Content:
        return joined(
            (f"{formatting.clock(entry.at)} ", "$muted"),
            level_mark(entry.level, view),
            " ",
            entry_text(entry, view),
        )
