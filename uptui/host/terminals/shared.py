"""The shared terminal: one program, many viewers, none of whom can slow or damage the others.

What is allowed in the output goes at once to viewers whose window has the terminal's size; the
emulator reads it afterwards, in small slices, and paints for everybody else.
"""

import asyncio
import signal as signals
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from uptui.core.terminal_output import AllowedOutput, for_viewers
from uptui.core.terminal_size import Area, SizePolicy, choose
from uptui.core.terminal_stream import cut_from, skim
from uptui.host.process.pty import Pty, Size
from uptui.host.process.spawn import ExitStatus, Program
from uptui.host.sshd.sessions.attachments import Attachment, Viewer
from uptui.host.terminals.emulator import Emulator
from uptui.host.terminals.frame import RowCache
from uptui.host.terminals.recording import Recording
from uptui.host.terminals.screen import redraw, title_bytes
from uptui.host.terminals.viewer import SharedViewer, ViewMode

FLUSH_S: Final = 0.016
"""Viewers who do not type get output at most this often."""
FRAME_S: Final = 1 / 30
"""Repaints of windows of another size come at most this often."""
TYPIST_FRAME_S: Final = 0.008
"""The same while somebody with such a window types."""
REDRAW_S: Final = 0.1
"""Whole redraws of a viewer that is behind come at most this often."""
SLICE_BYTES: Final = 1024
SLICE_S: Final = 0.0015
"""Time that emulation may take before everything else gets its turn."""
FLUSH_SLICE_S: Final = 0.001
"""The same for sending and for repainting."""
MAX_BACKLOG: Final = 256 * 1024
"""Output that waits for the emulator above which the older part is skimmed."""
KEPT_BACKLOG: Final = 64 * 1024
MAX_CATCH_UP: Final = 32 * 1024
"""Unread output that may follow a redraw; with more, the viewer waits for the emulator."""
MAX_PENDING: Final = 1024 * 1024
"""Output not yet passed on to the others above which those are taken to be behind."""
SETTLE_S: Final = 0.05
"""A change of windows changes the terminal's size after this pause."""
HINT_S: Final = 2.5
MAX_VIEWERS: Final = 200
"""Viewers of one terminal."""


@dataclass(frozen=True)
class SharedOptions:
    """How a shared terminal behaves."""

    policy: SizePolicy = "host"
    on_change: Callable[[], None] = lambda: None
    """Something a snapshot shows is different now."""
    on_end: Callable[[ExitStatus], None] = lambda _: None


class SharedTerminal:
    """A program on one terminal, and everybody who watches it."""

    def __init__(self, program: Program, size: Size, options: SharedOptions) -> None:
        """Start the program. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._options = options
        self.policy: SizePolicy = options.policy
        self.recording: Recording | None = None
        self.area = Area(size.columns or 80, size.rows or 24).clamped()
        self.started_at = time.time()
        self.viewers: list[SharedViewer] = []
        self.emulator = Emulator(self.area.columns, self.area.rows)
        self._filter = AllowedOutput()
        self._title = ""
        self._cache = RowCache()
        self._backlog: deque[bytes | Area] = deque()
        self._backlog_size = 0
        self._resizes_ahead = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._flush_at = 0.0
        self._frame_at = 0.0
        self._flushing: asyncio.TimerHandle | None = None
        self._parsing: asyncio.Handle | None = None
        self._painting: asyncio.TimerHandle | None = None
        self._unpainted: deque[SharedViewer] = deque()
        self._fed = 0
        self._painted = 0
        self._settling: asyncio.TimerHandle | None = None
        self._redrawn: bytes | None = None
        self.ended = False
        self._full = False
        self._pty = Pty(
            program,
            size=Size(self.area.columns, self.area.rows),
            on_output=self._output,
            on_exit=self._exited,
            on_full=lambda: self._set_full(full=True),
            on_room=lambda: self._set_full(full=False),
        )

    @property
    def pid(self) -> int:
        return self._pty.pid

    def join(self, client: Viewer, name: str, *, types: bool, host: bool = False) -> SharedViewer:
        """Attach a viewer; it sees the screen as it is."""
        viewer = SharedViewer(self, client, name=name, types=types, host=host)
        viewer.sent = len(self._pending)
        self.viewers.append(viewer)
        self._settle()
        words = ["this terminal is being recorded"] if self.recording is not None else []
        words += ["you are watching"] if host and not types else []
        words += ["^] leaves it, the share goes on"] if host else []
        if words:
            viewer.notice("; ".join(words))
        self._options.on_change()
        return viewer

    def leave(self, viewer: SharedViewer) -> None:
        """A viewer is gone."""
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            self._settle_soon()
            self._options.on_change()

    def show_out(self, attachment: Attachment) -> None:
        """Give the viewer of this attachment its screen back."""
        for viewer in self.viewers:
            if viewer is attachment:
                self.dismiss(viewer)
                return

    def dismiss(self, viewer: SharedViewer, message: str = "") -> None:
        """Show a viewer out; the terminal goes on."""
        self.release(viewer)
        viewer.client.finish(ExitStatus(code=0), message)

    def release(self, viewer: SharedViewer) -> None:
        """Give a viewer its terminal back, after the last output that was meant for it."""
        self.leave(viewer)
        if viewer.view is ViewMode.RAW:
            self._send_pending(viewer)
        viewer.restore()

    def typed(self, viewer: SharedViewer, data: bytes) -> None:
        """Keys for the program."""
        if self._full:
            self.hint(viewer, "the program does not read its keys: these are dropped")
            return
        viewer.typed_at = self._loop.time()
        self._pty.write(data)
        if self.policy == "typist":
            self._settle_soon()

    def signal(self, name: str) -> None:
        """Signal the foreground program, or send a break."""
        if name == "BREAK":
            self._pty.send_break()
        elif hasattr(signals, f"SIG{name}"):
            self._pty.signal(int(signals.Signals[f"SIG{name}"]))

    def set_policy(self, policy: SizePolicy) -> None:
        self.policy = policy
        self._settle()

    def changed(self) -> None:
        self._options.on_change()

    def window_changed(self, viewer: SharedViewer) -> None:
        """A viewer's window has another size now."""
        if viewer in self.viewers:
            viewer.view = ViewMode.BEHIND if viewer.view is ViewMode.RAW else viewer.view
            self._settle_soon()

    def hint(self, viewer: SharedViewer, text: str) -> None:
        """Show one line at the bottom of one viewer's window for a moment."""
        now = self._loop.time()
        if viewer.client.paused or now - viewer.hinted_at < HINT_S:
            return
        viewer.hinted_at = now
        line = f" uptui: {text} "[: viewer.area.columns].encode()
        viewer.write(b"\x1b7\x1b[%d;1H\x1b[0;7m%b\x1b[0m\x1b8" % (viewer.area.rows, line))
        self._loop.call_later(HINT_S, self._unhint, viewer)

    def start_recording(self, recording: Recording) -> None:
        """Record from what the screen shows now, and say so to everybody."""
        self.recording = recording
        recording.output(self._whole() + self._unread())
        for viewer in self.viewers:
            viewer.notice("this terminal is being recorded")

    def stop_recording(self) -> None:
        """Close the recording, and say so."""
        if self.recording is not None:
            self.recording.close()
            self.recording = None
            for viewer in self.viewers:
                viewer.notice("the recording has ended")
            self._options.on_change()

    def end(self) -> None:
        """Hang up on the program."""
        self._pty.hang_up()

    def _set_full(self, *, full: bool) -> None:
        self._full = full

    # output

    def _output(self, data: bytes) -> None:
        data = self._filter.feed(data)
        if not data:
            return
        self._pass_on(for_viewers(data))
        self._backlog.append(data)
        self._backlog_size += len(data)
        if self._backlog_size > MAX_BACKLOG:
            self._skim()
        if self._parsing is None:
            self._parsing = self._loop.call_soon(self._parse)

    def _pass_on(self, shown: bytes) -> None:
        """To whoever types at once, to the others soon."""
        if self.recording is not None:
            self.recording.output(shown)
            if not self.recording.on:
                self.stop_recording()
        self._pending.append(shown)
        self._pending_size += len(shown)
        now = self._loop.time()
        for viewer in self.viewers:
            if viewer.view is ViewMode.RAW and viewer.recent(now):
                self._send_pending(viewer)
        self._schedule_flush(now)

    def _send_pending(self, viewer: SharedViewer) -> None:
        pieces = self._pending[viewer.sent :]
        viewer.sent = len(self._pending)
        if viewer.client.paused:
            viewer.view = ViewMode.BEHIND
        elif pieces:
            viewer.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _schedule_flush(self, now: float) -> None:
        if self._flushing is None:
            self._flushing = self._loop.call_at(max(now, self._flush_at + FLUSH_S), self._flush)

    def _flush(self) -> None:
        """Bring viewers up to date one after the other, giving way when it takes long."""
        self._flushing = None
        self._flush_at = started = self._loop.time()
        for viewer in self.viewers:
            if viewer.view is ViewMode.RAW and viewer.sent < len(self._pending):
                self._send_pending(viewer)
                if self._loop.time() - started > FLUSH_SLICE_S:
                    break
        self._drop_sent()
        if self._pending:
            self._flushing = self._loop.call_later(0, self._flush)

    def _drop_sent(self) -> None:
        raw = [viewer for viewer in self.viewers if viewer.view is ViewMode.RAW]
        if self._pending_size > MAX_PENDING:
            for viewer in raw:
                if viewer.sent < len(self._pending):
                    viewer.view = ViewMode.BEHIND
                    viewer.sent = len(self._pending)
        if all(viewer.sent == len(self._pending) for viewer in raw if viewer.view is ViewMode.RAW):
            self._pending.clear()
            self._pending_size = 0
            for viewer in self.viewers:
                viewer.sent = 0

    # emulation

    def _skim(self) -> None:
        """Too much waits: keep of the older part only what outlasts the screen."""
        if self._resizes_ahead:
            self._finish_resizes()
        whole = b"".join(piece for piece in self._backlog if isinstance(piece, bytes))
        at = cut_from(whole, len(whole) - KEPT_BACKLOG)
        kept = skim(whole[:at]) + whole[at:]
        self._backlog = deque([kept])
        self._backlog_size = len(kept)

    def _finish_resizes(self) -> None:
        while self._resizes_ahead:
            self._feed(self._backlog.popleft())

    def _parse(self) -> None:
        """Let the emulator read for a moment."""
        self._parsing = None
        until = time.perf_counter() + SLICE_S
        while self._backlog and time.perf_counter() < until:
            piece = self._backlog.popleft()
            if isinstance(piece, bytes) and len(piece) > SLICE_BYTES:
                piece, rest = _cut(piece)
                self._backlog.appendleft(rest)
            self._feed(piece)
        answers = self.emulator.answers()
        if answers:
            self._pty.write(answers)
        self._pass_title_on()
        if self._backlog:
            self._parsing = self._loop.call_soon(self._parse)
        if any(viewer.view is not ViewMode.RAW for viewer in self.viewers):
            self._schedule_paint()

    def _pass_title_on(self) -> None:
        """Titles come to viewers from the emulator, cleaned and one at a time."""
        if self.emulator.title != self._title:
            self._title = self.emulator.title
            self._pass_on(title_bytes(self._title))

    def _feed(self, piece: bytes | Area) -> None:
        self._redrawn = None
        self._fed += 1
        if isinstance(piece, bytes):
            self._backlog_size -= len(piece)
            self.emulator.feed(piece)
        else:
            self._resizes_ahead -= 1
            self.emulator.resize(piece.columns, piece.rows)

    # painting

    def catch_up(self, viewer: SharedViewer) -> None:
        """Bring a viewer that was skipped up to date, if it can take it now."""
        if viewer not in self.viewers or viewer.client.paused or viewer.view is ViewMode.RAW:
            return
        if viewer.area != self.area:
            viewer.view = ViewMode.FRAMED
            self._cache.refresh(self.emulator.page)
            self._paint_frame(viewer)
            return
        now = self._loop.time()
        if self._backlog_size <= MAX_CATCH_UP and not self._resizes_ahead:
            viewer.write(viewer.clear() + self._whole() + self._unread())
            viewer.view = ViewMode.RAW
            viewer.sent = len(self._pending)
        elif now - viewer.redrawn_at >= REDRAW_S:
            viewer.redrawn_at = now
            viewer.write(viewer.clear() + self._whole())
            self._schedule_paint()
        else:
            self._schedule_paint()

    def _whole(self) -> bytes:
        if self._redrawn is None:
            self._redrawn = redraw(self.emulator)
        return self._redrawn

    def _unread(self) -> bytes:
        """What viewers are to see after `_whole`: the output that the emulator has yet to read."""
        rest = [piece for piece in self._backlog if isinstance(piece, bytes)]
        return for_viewers(self.emulator.unfinished + b"".join(rest)) if rest else b""

    def _schedule_paint(self) -> None:
        if self._painting is not None:
            return
        at = now = self._loop.time()
        if not self._unpainted:
            typing = any(
                each.view is not ViewMode.RAW and each.recent(now) for each in self.viewers
            )
            at = max(now, self._frame_at + (TYPIST_FRAME_S if typing else FRAME_S))
        self._painting = self._loop.call_at(at, self._paint)

    def _paint(self) -> None:
        """Repaint one window after the other, typists first, giving way when it takes long."""
        self._painting = None
        started = self._loop.time()
        if not self._unpainted:
            self._frame_at, self._painted = started, self._fed
            others = [viewer for viewer in self.viewers if viewer.view is not ViewMode.RAW]
            self._unpainted.extend(sorted(others, key=lambda viewer: -viewer.typed_at))
        self._cache.refresh(self.emulator.page)
        while self._unpainted and self._loop.time() - started < FLUSH_SLICE_S:
            self._repaint(self._unpainted.popleft())
        if self._unpainted or self._painted != self._fed:
            self._schedule_paint()

    def _repaint(self, viewer: SharedViewer) -> None:
        if viewer.client.paused or viewer not in self.viewers:
            return
        if viewer.view is ViewMode.FRAMED:
            self._paint_frame(viewer)
        elif viewer.view is ViewMode.BEHIND:
            self.catch_up(viewer)

    def _paint_frame(self, viewer: SharedViewer) -> None:
        data = viewer.frame.paint(self.emulator, self._cache)
        if data:
            viewer.write(data)

    def _unhint(self, viewer: SharedViewer) -> None:
        if viewer.view is ViewMode.RAW:
            viewer.view = ViewMode.BEHIND
        viewer.frame.forget()
        self.catch_up(viewer)

    # size

    def _settle_soon(self) -> None:
        if self._settling is None:
            self._settling = self._loop.call_later(SETTLE_S, self._settle)

    def _settle(self) -> None:
        """Take the size that the policy asks for, and see each viewer anew."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if self.ended:
            return
        windows = [viewer.window for viewer in self.viewers]
        area = choose(self.policy, windows, self.area)
        if area != self.area:
            self._resize(area)
        for viewer in self.viewers:
            fits = viewer.area == self.area
            if viewer.view is ViewMode.FRAMED and fits:
                viewer.view = ViewMode.BEHIND
            elif not fits and viewer.view is not ViewMode.FRAMED:
                viewer.frame.forget()
                viewer.view = ViewMode.FRAMED
            if viewer.view is not ViewMode.RAW:
                self.catch_up(viewer)

    def _resize(self, area: Area) -> None:
        self.area = area
        self._pty.resize(Size(area.columns, area.rows))
        self._resizes_ahead += 1
        self._backlog.append(area)
        if self._parsing is None:
            self._parsing = self._loop.call_soon(self._parse)
        if self.recording is not None:
            self.recording.resize(area.columns, area.rows)
        for viewer in self.viewers:
            viewer.frame.forget()
            if viewer.view is ViewMode.RAW:
                viewer.view = ViewMode.BEHIND
        self._options.on_change()

    # end

    def _exited(self, status: ExitStatus) -> None:
        for viewer in self.viewers:
            if viewer.view is ViewMode.RAW:
                self._send_pending(viewer)
        self.ended = True
        for handle in (self._flushing, self._parsing, self._painting, self._settling):
            if handle is not None:
                handle.cancel()
        while self._backlog:
            self._feed(self._backlog.popleft())
        viewers, self.viewers = self.viewers, []
        for viewer in viewers:
            viewer.restore()
            viewer.client.finish(status, "the shared terminal has ended")
        if self.recording is not None:
            self.recording.close()
        self._options.on_end(status)


def _cut(piece: bytes) -> tuple[bytes, bytes]:
    """A slice for the emulator and the rest, with no character cut in two."""
    at = SLICE_BYTES
    while at < len(piece) and 0x80 <= piece[at] < 0xC0:
        at += 1
    return piece[:at], piece[at:]
