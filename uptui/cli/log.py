"""`uptui log`: the record of what happened, followed live or exported whole."""

import os
import sys
import time
from pathlib import Path

import click

from uptui.cli import FAILED
from uptui.cli.context import Context
from uptui.cli.output import clean, json_flag, print_line, say
from uptui.client import HostClient
from uptui.client.shown import shown_on
from uptui.errors import ConfigError
from uptui.protocol.host_api import LogEntry
from uptui.runtime.terminal_watch import HUNG_UP


def _print_entry(entry: LogEntry, *, as_json: bool) -> None:
    if as_json:
        print_line(entry)
        return
    at = time.strftime("%H:%M:%S", time.localtime(entry.at))
    print(f"{at} {entry.level:<7} {entry.event:<18} {clean(entry.sentence)}", flush=True)


@click.command()
@click.option("--limit", "-n", default=50, type=click.IntRange(1, 10_000), show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on.")
@click.option(
    "--export",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the whole record there as JSON lines; works without a running share, too.",
)
@json_flag
@click.pass_obj
def log(context: Context, *, limit: int, follow: bool, export: Path | None, as_json: bool) -> None:
    """Show the record of what happened."""
    if export is not None:
        if follow:
            raise click.UsageError("Give either --follow or --export.")
        say(f"{_export(context, export)} entries in {export}")
        return

    async def act(client: HostClient) -> None:
        entries = await client.log(limit=limit)
        for entry in entries:
            _print_entry(entry, as_json=as_json)
        if follow:
            shown = {(entry.at, entry.n) for entry in entries}
            out = sys.stdout.fileno()
            gone = HUNG_UP if sys.stdout.isatty() else FAILED
            with shown_on(out, out, gone=gone):
                await _follow(client, shown, as_json=as_json)

    context.call(act)


async def _follow(client: HostClient, shown: set[tuple[float, int]], *, as_json: bool) -> None:
    """Print what happens from now on, and what has happened since `shown` was asked for."""
    since = max((at for at, _ in shown), default=time.time())
    first = True
    async for event in client.events():
        if isinstance(event, LogEntry):
            _print_entry(event, as_json=as_json)
        elif first:
            first = False
            for entry in event.log:
                if entry.at >= since and (entry.at, entry.n) not in shown:
                    _print_entry(entry, as_json=as_json)


def _export(context: Context, target: Path) -> int:
    """Copy every entry on disk into a new file of the user's own; how many. Raises ConfigError."""
    import msgspec

    from uptui.host.storage.event_log import read_back

    entries = read_back(context.places.event_log, None)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
            for entry in entries:
                file.write(msgspec.json.encode(entry) + b"\n")
    except OSError as error:
        raise ConfigError("--export", f"{target}: {error.strerror}") from error
    return len(entries)
