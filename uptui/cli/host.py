"""`uptui host`: share in the foreground without a terminal, or as the background daemon."""

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click
import msgspec

from uptui.cli.context import Context, flags_given, setting_flags
from uptui.config import Settings, ValueOrigin, unknown_variables
from uptui.core.keys import parse_public_key
from uptui.errors import ConfigError
from uptui.protocol.host_api import LogEntry, Strings
from uptui.runtime import event_loop
from uptui.runtime.inheritance import leave_directory
from uptui.runtime.writer_thread import WriterThread

if TYPE_CHECKING:
    from uptui.host.daemon import Running

MAX_FLAGS_BYTES: Final = 1024 * 1024
PRINT_EVERY: Final = 0.1
"""Seconds at least between two looks at what is new: thousands of small files are one look."""


@click.command()
@setting_flags("host")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines: the strings, then events.")
@click.option("--daemon", is_flag=True, hidden=True)
@click.argument("command", nargs=-1)
@click.pass_obj
def host(
    context: Context, *, as_json: bool, daemon: bool, command: tuple[str, ...], **parameters: Any
) -> int:
    """Share this machine in the foreground, without a terminal.

    With COMMAND (after --), that command starts here and now as the shared terminal: who connects
    lands in it (unless --landing says otherwise), `uptui attach` joins it, and the share ends with
    it and its exit code.
    """
    further = flags_given(parameters)
    if daemon:
        further |= _flags_from_pipe()
    settings = context.settings(further)
    if command and settings.origin("host.landing").kind == "default":
        settings = settings.changed("host.landing", "shared", ValueOrigin("flag", "-- COMMAND"))
    printer = _Silent() if daemon else _Json() if as_json else _Plain()
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=printer.err,
    )
    logging.getLogger("asyncssh").setLevel(logging.ERROR)
    try:
        for warning in unknown_variables(os.environ):
            printer.warn(warning)
        sharing = _share(context, settings, command, printer)
        return event_loop.run(sharing, poll=settings.host.busy_poll)
    finally:
        printer.close()


def _flags_from_pipe() -> dict[str, object]:
    raw = sys.stdin.buffer.read(MAX_FLAGS_BYTES)
    try:
        found = json.loads(raw or b"{}")
    except ValueError as error:
        raise ConfigError("--daemon", "the settings on stdin are not JSON") from error
    if not isinstance(found, dict):
        raise ConfigError("--daemon", "the settings on stdin are no object")
    return cast("dict[str, object]", found)


class _Plain:
    """For people: the strings, then one line per event; who reads them can hold nothing up."""

    def __init__(self) -> None:
        self.out = WriterThread(sys.stdout.fileno(), self.lost)
        self.err = WriterThread(sys.stderr.fileno(), self.lost)

    def lost(self, count: int) -> str:
        return f"uptui: {count} lines were not read in time and are lost; see `uptui log`\n"

    def close(self) -> None:
        self.out.close()
        self.err.close()

    def ready(self, url: Strings, fingerprint: str) -> None:
        self._print("Ready. Connect with:\n")
        for name in ("ssh", "ssh-jump", "ssh-plain", "vscode", "vscode-cli"):
            if name in url.strings:
                self._print(f"  {name:<11} {url.strings[name]}")
        del fingerprint
        keys = map(parse_public_key, url.host_keys)
        self._print(
            "\n" + "".join(f"  host key    {key.fingerprint} ({key.kind})\n" for key in keys)
        )
        self._print("All formats: uptui url --all. Everything else: uptui --help.")

    def entry(self, entry: LogEntry) -> None:
        self._print(f"{entry.event}: {entry.sentence}")

    def early(self, entry: LogEntry) -> None:
        if entry.level in {"warning", "error"} or entry.event == "share.stopped":
            self.warn(entry.text)

    def warn(self, text: str) -> None:
        self.err.write(f"uptui: {text}\n")

    def _print(self, text: str) -> None:
        self.out.write(f"{text}\n")


class _Json(_Plain):
    """For programs: JSON lines."""

    def lost(self, count: int) -> str:
        return json.dumps({"event": "lines.lost", "count": count}) + "\n"

    def ready(self, url: Strings, fingerprint: str) -> None:
        line = {"event": "ready", **msgspec.to_builtins(url), "fingerprint": fingerprint}
        self._print(json.dumps(line, ensure_ascii=False))

    def entry(self, entry: LogEntry) -> None:
        self._print(msgspec.json.encode(entry).decode())


class _Silent(_Plain):
    """For the background: warnings only, which daemon.log keeps."""

    def ready(self, url: Strings, fingerprint: str) -> None:
        del url, fingerprint

    def entry(self, entry: LogEntry) -> None:
        self.early(entry)


async def _share(
    context: Context, settings: Settings, command: tuple[str, ...], printer: _Plain
) -> int:
    from uptui.cli.embedded import relay_of
    from uptui.host.daemon import HostDaemon, Plan, Running

    daemon = HostDaemon(Plan(settings, context.places, command, _here()))
    leave_directory()
    try:
        async with (
            relay_of(settings, context.places, daemon.fingerprint) as relay,
            asyncio.TaskGroup() as group,
        ):

            def started(running: Running) -> None:
                _handle_signals(running)
                group.create_task(_follow(running, printer))

            await daemon.run(relay, started)
    finally:
        daemon.release()
    return daemon.exit_code


def _here() -> str | None:
    """The directory we were started in, unless it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _handle_signals(running: "Running") -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        name = signal.Signals(number).name
        loop.add_signal_handler(number, running.stop, f"signal {name}")
    # A handler and not SIG_IGN, which every shell that is started would inherit.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)


async def _follow(running: "Running", printer: _Plain) -> None:
    """Print the strings once they work, and what goes on record from then on."""
    seen, last, ready = 0, 0, False
    while seen >= 0:
        entries: list[LogEntry] = running.log_after(last)
        for entry in entries:
            last = entry.n
            (printer.entry if ready else printer.early)(entry)
        if running.ready.is_set() and not ready:
            ready = True
            printer.ready(running.url(), running.fingerprint)
        seen = await running.changes.touched(seen)
        await asyncio.sleep(PRINT_EVERY)
