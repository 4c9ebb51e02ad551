"""Opens the terminal interface, starting the background daemon first when none answers."""

import sys
from dataclasses import replace

from uptui.cli.context import Context
from uptui.cli.output import say
from uptui.client import HostClient
from uptui.config import OPTIONS
from uptui.errors import ConfigError, UptuiError
from uptui.runtime.foreground import run_here
from uptui.runtime.inheritance import OURSELVES
from uptui.runtime.terminal_watch import SIGNALLED


def _answers(context: Context) -> bool:
    async def asking(client: HostClient) -> bool:
        try:
            await client.url()
        except UptuiError:
            return False
        return True

    return context.places.api_socket.exists() and context.call(asking)


def ensure_daemon(context: Context) -> bool:
    """Start the daemon unless one answers; returns whether it was started now."""
    from uptui.host import background

    context.settings()  # a mistake is told here and not only in the daemon's log
    flags = {key: value for key, value in context.flags.items() if not key.startswith("tui.")}
    if _answers(context):
        if flags:
            given = ", ".join(OPTIONS[key].flag_name for key in flags)
            say(f"uptui: already running with its own settings; ignored: {given}")
        return False
    say("uptui: starting the share ...")
    config = ("--config", str(context.config)) if context.config_required else ()
    background.start(context.places, flags, lambda: _answers(context), config)
    return True


def open_tui(context: Context) -> int:
    """Attach the TUI to the daemon, whose life does not depend on it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "stdin or stdout",
            "this is no terminal; `uptui host` shares without one, `uptui --help` lists all",
        )
    ensure_daemon(context)
    return _show(context)


def _show(context: Context) -> int:
    from uptui.app import Looks, run

    settings = context.settings()
    name = context.places.name

    def join_here(terminal: str) -> None:
        # a process of its own: the TUI's event loop runs in this one
        run_here([*OURSELVES, "--name", name, "attach", terminal])

    code = run(
        lambda: HostClient(context.places.api_socket),
        keymap=settings.keys,
        places=replace(context.places, config_file=context.config),
        join=join_here,
        looks=Looks(
            ascii=settings.tui.ascii,
            private=settings.tui.privacy,
            bell=settings.tui.bell,
            theme=settings.tui.theme,
        ),
    )
    if code < SIGNALLED and _answers(context):
        which = "" if name == "default" else f" --name {name}"
        say(f"Still sharing. Come back: uptui{which}   End it: uptui{which} stop")
    return code
