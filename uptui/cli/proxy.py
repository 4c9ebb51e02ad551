"""`uptui proxy`: an ssh ProxyCommand that reaches a session where only HTTPS leaves."""

import asyncio
import sys
from typing import Any

import click

from uptui.cli.context import Context, flags_given, some_flags
from uptui.errors import ConfigError, RelayRefusedError


@click.command()
@click.argument("name", metavar="NAME")
@some_flags("host.relay", "host.proxy", "host.ca_file", "host.trust", "host.allow_http")
@click.pass_obj
def proxy(context: Context, *, name: str, **parameters: Any) -> None:
    """Carry stdin and stdout to the session NAME over a WebSocket, end to end encrypted.

    For ~/.ssh/config: ProxyCommand uptui proxy --relay https://relay.example %h
    """
    from uptui.cli.embedded import configured_relay
    from uptui.host.relay_link.proxy_command import visit
    from uptui.host.relay_link.trust import plain_http

    settings = context.settings(flags_given(parameters))
    endpoint = configured_relay(settings, context.places)
    if endpoint is None:
        raise ConfigError("--relay", "which relay? uptui proxy --relay https://relay.example NAME")

    async def carry() -> None:
        try:
            warning = await plain_http(endpoint)
        except RelayRefusedError as error:
            raise ConfigError("--relay", str(error)) from error
        if warning:
            print(f"uptui: {warning}", file=sys.stderr)
        await visit(endpoint, name, sys.stdin.fileno(), sys.stdout.fileno())

    asyncio.run(carry())
