"""`uptui` itself: choose the instance, list the commands, and attach the TUI when none is given."""

import importlib
from typing import Any, Final

import click

from uptui import __version__
from uptui.cli.context import context_for, flags_given, setting_flags

_COMMANDS: Final = {
    "host": "uptui.cli.host:host",
    "relay": "uptui.cli.relay:relay",
    "attach": "uptui.cli.terminals:attach",
    "status": "uptui.cli.inspect:status",
    "url": "uptui.cli.inspect:url",
    "clients": "uptui.cli.inspect:clients",
    "people": "uptui.cli.people:people",
    "ports": "uptui.cli.inspect:ports",
    "terminals": "uptui.cli.terminals:terminals",
    "log": "uptui.cli.log:log",
    "doctor": "uptui.cli.inspect:doctor",
    "approve": "uptui.cli.control:approve",
    "deny": "uptui.cli.control:deny",
    "kick": "uptui.cli.control:kick",
    "role": "uptui.cli.people:role",
    "say": "uptui.cli.control:say_",
    "block": "uptui.cli.people:block",
    "unblock": "uptui.cli.people:unblock",
    "rename": "uptui.cli.people:rename",
    "forget": "uptui.cli.people:forget",
    "lock": "uptui.cli.control:lock",
    "unlock": "uptui.cli.control:unlock",
    "rotate": "uptui.cli.control:rotate",
    "end": "uptui.cli.terminals:end",
    "record": "uptui.cli.terminals:record",
    "reconnect": "uptui.cli.control:reconnect",
    "stop": "uptui.cli.control:stop",
    "invite": "uptui.cli.invites:invite",
    "invites": "uptui.cli.invites:invites",
    "revoke": "uptui.cli.invites:revoke",
    "alias": "uptui.cli.alias:alias",
    "proxy": "uptui.cli.proxy:proxy",
    "settings": "uptui.cli.invites:settings",
    "completion": "uptui.cli.completion:completion",
}


class LazyGroup(click.Group):
    """Imports a command's module only when it is used or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        return getattr(importlib.import_module(module), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], list(_COMMANDS), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " See uptui --help."
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.command(cls=LazyGroup, invoke_without_command=True)
@click.version_option(__version__, prog_name="uptui")
@click.option("--name", metavar="NAME", help="Which of several instances. [UPTUI_NAME]")
@click.option("--config", metavar="PATH", help="Configuration file. [UPTUI_CONFIG]")
@setting_flags("host", "tui")
@click.pass_context
def root(
    click_context: click.Context, *, name: str | None, config: str | None, **parameters: Any
) -> int | None:
    """Share this machine by SSH through a relay, and see who is in.

    Without a command: start the share in the background if it is not running, and open the
    terminal interface. Leaving that (q) leaves the share running; `uptui stop` ends it.
    """
    context = context_for(name, config)
    context.flags = flags_given(parameters)
    click_context.obj = context
    if click_context.invoked_subcommand is not None:
        return None
    from uptui.cli.tui import open_tui

    return open_tui(context)
