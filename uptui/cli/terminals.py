"""Commands about terminals: join the shared one, list, record, end."""

import sys

import click

from uptui.cli.context import Context
from uptui.cli.output import ago, json_flag, print_json, say, table
from uptui.client import HostClient
from uptui.errors import ConfigError, NotRunningError
from uptui.protocol.host_api import TerminalView
from uptui.protocol.terminal import SHARED_ID


@click.command()
@click.argument("terminal", metavar="[ID]", default=SHARED_ID)
@click.option("--watch", is_flag=True, help="Only look: keys are not passed on.")
@click.pass_obj
def attach(context: Context, *, terminal: str, watch: bool) -> int:
    """Join the shared terminal from here, starting it if need be; ^] leaves it.

    With the ID of a kept shell (`uptui terminals`): take that up; ^] leaves it kept again.

    The exit code is that of the terminal's program when it ends meanwhile, and 0 after ^].
    """
    from uptui.cli.window import take_over

    if not context.places.api_socket.exists():
        raise NotRunningError("no uptui daemon is running here; `uptui` starts one")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("uptui attach", "this is no terminal")
    return take_over(context.places.api_socket, terminal, watch=watch)


@click.command()
@json_flag
@click.pass_obj
def terminals(context: Context, *, as_json: bool) -> None:
    """List the shared terminal, and the shells and programs that go on without their client."""
    found = context.call(HostClient.snapshot).terminals
    if as_json:
        print_json(found)
        return
    if not found:
        say("No terminal runs on its own; `uptui attach` starts the shared one.")
        return
    rows = [
        (
            terminal.id,
            terminal.owner or "everybody",
            terminal.title or terminal.command,
            f"{terminal.columns}x{terminal.rows}" if terminal.columns else "-",
            _state(terminal),
            ago(terminal.started_at),
        )
        for terminal in found
    ]
    table(("ID", "FOR", "RUNS", "SIZE", "STATE", "SINCE"), rows)


def _state(terminal: TerminalView) -> str:
    if terminal.kind == "left":
        return f"left running {ago(terminal.detached_at)} ago"
    if terminal.kind == "kept":
        return f"kept, ends in {ago(terminal.ends_at)}"
    watching = f"{terminal.viewers} in it, {terminal.typists} may type"
    return f"{watching}, recorded" if terminal.recording else watching


@click.command()
@click.argument("terminal", metavar="ID")
@json_flag
@click.pass_obj
def end(context: Context, *, terminal: str, as_json: bool) -> None:
    """End a terminal with all that runs in it: `shared`, or the ID of a kept shell or a program
    left running (`uptui terminals`, `uptui clients`)."""
    context.call(lambda client: client.end_terminal(terminal))
    print_json({"ok": True}) if as_json else print(f"ended {terminal}")


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@json_flag
@click.pass_obj
def record(context: Context, *, state: str, as_json: bool) -> None:
    """Record the shared terminal as asciicast (`asciinema play`); its viewers are told."""
    context.call(lambda client: client.record(on=state == "on"))
    if as_json:
        print_json({"ok": True})
        return
    where = f"the shared terminal is recorded in {context.places.recordings}"
    print(where if state == "on" else f"the {SHARED_ID} terminal is not recorded any more")
