"""`uptui alias`: lasting names, by the running share or, without one, straight at the relay."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from uptui.cli.context import Context
from uptui.cli.output import ago, clean, json_flag, print_json, say, table
from uptui.client import HostClient
from uptui.errors import ConfigError, NotRunningError
from uptui.protocol import host_aliases, host_api

if TYPE_CHECKING:
    import asyncssh

    from uptui.host.relay_link.relay_client import RelayClient

T = TypeVar("T")
ByShare = Callable[[HostClient], Awaitable[T]]
ByRelay = Callable[["RelayClient", "asyncssh.SSHKey"], Awaitable[T]]


def _act(context: Context, by_share: ByShare[T] | None, by_relay: ByRelay[T]) -> T:
    """Ask the running share; straight the relay when none runs or another relay is named."""
    if by_share is not None and "host.relay" not in context.flags:
        try:
            return context.call(by_share)
        except NotRunningError:
            if context.settings().host.relay is None:
                raise
    return asyncio.run(_at_relay(context, by_relay))


async def _at_relay(context: Context, act: ByRelay[T]) -> T:
    from uptui.cli.embedded import configured_relay, refuse_open_http
    from uptui.host.keys.identity import load_identity
    from uptui.host.relay_link.relay_client import RelayClient
    from uptui.host.relay_link.trust import tls_context
    from uptui.runtime.private_files import private_directory

    settings = context.settings()
    endpoint = configured_relay(settings, context.places)
    if endpoint is None:
        raise ConfigError(
            "--relay", "at which relay? uptui --relay https://relay.example alias ..."
        )
    await refuse_open_http(endpoint)
    private_directory(context.places.state_dir)
    where = settings.origin("host.identity").where
    key = load_identity(settings.host.identity, where, context.places.identity_file)
    async with RelayClient(endpoint, await tls_context(endpoint)) as client:
        await client.login(key, settings.host.join_token)
        return await act(client, key)


@click.group(invoke_without_command=True)
@click.pass_context
def alias(click_context: click.Context) -> None:
    """Lasting names on the relay; without a command, list them."""
    if click_context.invoked_subcommand is None:
        click_context.invoke(list_)


@alias.command("list")
@json_flag
@click.pass_obj
def list_(context: Context, *, as_json: bool = False) -> None:
    """List the aliases of this identity."""
    from uptui.host.relay_link import aliases

    found = _act(context, HostClient.aliases, lambda client, _: aliases.listed(client))
    if as_json:
        print_json(found)
        return
    rows = [
        (entry.name, entry.port or "-", "yes" if entry.online else "no",
         "yes" if entry.serving else "no", ago(entry.expires_at))
        for entry in found
    ]  # fmt: skip
    table(("ALIAS", "PORT", "ONLINE", "SERVED HERE", "KEPT FOR"), rows)


@alias.command()
@click.argument("name")
@json_flag
@click.pass_obj
def check(context: Context, *, name: str, as_json: bool) -> int:
    """Whether NAME is free; exit status 1 when it is not."""
    from uptui.host.relay_link import aliases

    found = _act(
        context,
        lambda client: client.alias_available(name),
        lambda client, _: aliases.available(client, name),
    )
    if as_json:
        print_json(found)
    else:
        near = f"; free: {', '.join(found.suggestions)}" if found.suggestions else ""
        print("free" if found.available else clean(f"not available: {found.reason}{near}"))
    return 0 if found.available else 1


@alias.command()
@click.argument("name")
@json_flag
@click.pass_obj
def claim(context: Context, *, name: str, as_json: bool) -> None:
    """Make NAME yours; a running share is reached by it from now on."""
    from uptui.host.keys.identity import public_line
    from uptui.host.relay_link import aliases

    async def by_share(client: HostClient) -> host_api.Strings | host_aliases.AliasView:
        return await client.set_alias(name)

    async def by_relay(
        client: "RelayClient", key: "asyncssh.SSHKey"
    ) -> host_api.Strings | host_aliases.AliasView:
        return await aliases.claimed(client, name, public_line(key))

    made = _act(context, by_share, by_relay)
    if as_json:
        print_json(made)
    elif isinstance(made, host_api.Strings):
        print(made.strings.get("ssh", ""))
    else:
        _print_kept(made)
        say(f"Serve under it: uptui --alias {name}")


def _print_kept(kept: host_aliases.AliasView) -> None:
    port = f", port {kept.port}" if kept.port else ""
    print(f"{kept.name} is yours{port}, kept for {ago(kept.expires_at)}")


@alias.command()
@json_flag
@click.pass_obj
def leave(context: Context, *, as_json: bool) -> None:
    """Be reached by no alias; the name stays yours."""
    strings = context.call(lambda client: client.set_alias(None))
    if as_json:
        print_json(strings)
    else:
        print(strings.strings.get("ssh", ""))


@alias.command()
@click.argument("name")
@json_flag
@click.pass_obj
def release(context: Context, *, name: str, as_json: bool) -> None:
    """Give NAME and its port back for anybody to take."""
    _act(
        context,
        lambda client: client.release_alias(name),
        lambda client, _: client.release(name),
    )
    if as_json:
        print_json({"ok": True})
    else:
        print(f"released {name}")


@alias.command()
@click.argument("name")
@click.argument("to", metavar="KEY")
@json_flag
@click.pass_obj
def transfer(context: Context, *, name: str, to: str, as_json: bool) -> None:
    """Give NAME with its port to another identity: KEY is its public key, or a file of it."""
    from uptui.host.relay_link import aliases

    key = _public_key(to)
    moved = _act(
        context,
        lambda client: client.transfer_alias(name, key),
        lambda client, _: aliases.transferred(client, name, key),
    )
    if as_json:
        print_json(moved)
    else:
        print(f"{name} belongs to that identity now")


@alias.command("rotate-key")
@click.argument("name")
@json_flag
@click.pass_obj
def rotate_key(context: Context, *, name: str, as_json: bool) -> None:
    """Pin NAME to this identity's host key; clients have to learn the new one."""
    from uptui.host.keys.identity import public_line
    from uptui.host.relay_link import aliases

    kept = _act(
        context,
        lambda client: client.rotate_alias_key(name),
        lambda client, key: aliases.repinned(client, name, public_line(key)),
    )
    if as_json:
        print_json(kept)
        return
    say(f"{name} is pinned to this host key; known_hosts lines of clients:")
    for line in kept.known_hosts:
        print(line)


def _public_key(given: str) -> str:
    """A public key as text, from text or a file. Raises ConfigError."""
    from uptui.core.keys import parse_public_key

    text = given
    if not given.startswith(("ssh-", "ecdsa-", "sk-")):
        try:
            text = Path(given).expanduser().read_text()
        except (OSError, UnicodeError) as error:
            problem = getattr(error, "strerror", None) or "not text"
            raise ConfigError("KEY", f"{given}: no public key, and no file: {problem}") from error
    try:
        parse_public_key(text.strip())
    except ValueError as error:
        raise ConfigError("KEY", f"{given}: {error}") from error
    return " ".join(text.split()[:2])
