"""Commands that change who is in and how the share is reached."""

import click

from uptui.cli.context import Context
from uptui.cli.output import json_flag, print_json
from uptui.client import HostClient
from uptui.errors import RelayUnreachableError
from uptui.protocol.names import ClientId, RequestId, is_token


def _done(text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True})
    else:
        print(text)


@click.command()
@click.argument("request", metavar="ID")
@click.option("--role", metavar="ROLE", help="Another role than the one proposed.")
@click.option("--always", is_flag=True, help="This key is known from now on.")
@click.option("--name", metavar="NAME", help="What to call them.")
@json_flag
@click.pass_obj
def approve(
    context: Context,
    *,
    request: str,
    role: str | None,
    always: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """Let somebody in who waits."""
    context.act(
        lambda client: client.approve(RequestId(request), role=role, remember=always, name=name),
    )
    _done(f"approved {request}", as_json=as_json)


@click.command()
@click.argument("request", metavar="ID")
@click.option("--block", is_flag=True, help="Refuse this key from now on.")
@json_flag
@click.pass_obj
def deny(context: Context, *, request: str, block: bool, as_json: bool) -> None:
    """Refuse somebody who waits."""
    context.act(lambda client: client.deny(RequestId(request), block=block))
    _done(f"denied {request}", as_json=as_json)


@click.command()
@click.argument("client_id", metavar="ID", required=False)
@click.option("--all", "everybody", is_flag=True, help="Disconnect everybody.")
@click.option("--message", "-m", default="", help="Told to the client.")
@click.option("--block", is_flag=True, help="Refuse this key from now on.")
@json_flag
@click.pass_obj
def kick(
    context: Context,
    *,
    client_id: str | None,
    everybody: bool,
    message: str,
    block: bool,
    as_json: bool,
) -> None:
    """Disconnect a client."""
    if everybody == (client_id is not None):
        raise click.UsageError("Give either ID or --all.")
    if client_id is None:
        context.act(lambda client: client.kick_all(message=message, block=block))
    else:
        given = ClientId(client_id)
        context.act(lambda client: client.kick(given, message=message, block=block))
    _done("disconnected", as_json=as_json)


@click.command("say")
@click.argument("client_id", metavar="ID")
@click.argument("text", nargs=-1, required=True)
@json_flag
@click.pass_obj
def say_(context: Context, *, client_id: str, text: tuple[str, ...], as_json: bool) -> None:
    """Show a line in the terminals of a client."""
    context.act(lambda client: client.say(ClientId(client_id), " ".join(text)))
    _done("said", as_json=as_json)


@click.command()
@json_flag
@click.pass_obj
def lock(context: Context, *, as_json: bool) -> None:
    """Refuse everybody new; who is in stays."""
    context.act(lambda client: client.lock(locked=True))
    _done("locked: nobody new may join", as_json=as_json)


@click.command()
@json_flag
@click.pass_obj
def unlock(context: Context, *, as_json: bool) -> None:
    """Take new clients again."""
    context.act(lambda client: client.lock(locked=False))
    _done("unlocked", as_json=as_json)


@click.command()
@click.option("--kick", "kick_all", is_flag=True, help="Disconnect everybody, too.")
@json_flag
@click.pass_obj
def rotate(context: Context, *, kick_all: bool, as_json: bool) -> None:
    """Replace the secret part of the address; connected clients stay."""
    found = context.act(lambda client: client.rotate(kick=kick_all))
    if "ssh" not in found.strings:
        raise RelayUnreachableError(
            "the old address no longer works, and the relay has not given the new one yet: "
            "see `uptui status`, then `uptui url`"
        )
    if as_json:
        print_json(found)
    elif is_token(found.name):
        print(f"The old address no longer works. The new one:\n{found.strings['ssh']}")
    else:
        print(f"The old token no longer works; {found.name} stays:\n{found.strings['ssh']}")


@click.command()
@json_flag
@click.pass_obj
def reconnect(context: Context, *, as_json: bool) -> None:
    """Connect to the relay again now."""
    context.call(HostClient.reconnect)
    _done("connecting again", as_json=as_json)


@click.command()
@json_flag
@click.pass_obj
def stop(context: Context, *, as_json: bool) -> None:
    """End the share and its daemon."""
    from uptui.cli.stopping import wait_until_gone

    context.call(HostClient.stop)
    wait_until_gone(context.places)
    _done("stopped", as_json=as_json)
