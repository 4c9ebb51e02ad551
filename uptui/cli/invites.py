"""Commands about invites and settings."""

from typing import Final

import click

from uptui.cli.context import Context
from uptui.cli.output import ago, json_flag, print_json, print_qr, say, table, when
from uptui.client import HostClient
from uptui.config import values
from uptui.errors import ConfigError
from uptui.protocol.host_api import InviteView, NewInvite, Setting, SettingValue
from uptui.protocol.names import RouteName

NO_ADDRESS: Final = "(the relay has not given an address yet)"


def _duration(text: str, flag: str) -> float | None:
    try:
        return None if text == "never" else values.wait(text)
    except ValueError as error:
        raise ConfigError(flag, str(error)) from error


@click.command()
@click.argument("name")
@click.option("--role", default="developer", show_default=True, metavar="ROLE")
@click.option("--landing", default="shell", show_default=True, help="shell, shared, 'command: ...'")
@click.option("--expires", default="24h", show_default=True, help="A duration, or never.")
@click.option("--uses", default="1", show_default=True, help="How many different keys, or any.")
@click.option("--any-key", is_flag=True, help="Do not bind it to the first key that uses it.")
@click.option("--show", is_flag=True, help="Show the one that NAME has already.")
@click.option("--text", is_flag=True, help="Print a message ready to send to a newcomer.")
@click.option("--qr", is_flag=True, help="Print a QR code of the string.")
@json_flag
@click.pass_obj
def invite(
    context: Context,
    *,
    name: str,
    role: str,
    landing: str,
    expires: str,
    uses: str,
    any_key: bool,
    show: bool,
    text: bool,
    qr: bool,
    as_json: bool,
) -> None:
    """Make an address for somebody, which can be revoked alone."""
    if uses != "any" and not uses.isdecimal():
        raise ConfigError("--uses", f"expected a number or any, not {uses!r}")
    count = None if uses == "any" else int(uses)
    new = NewInvite(
        name=name,
        role=role,
        landing=landing,
        expires_in=_duration(expires, "--expires"),
        uses=count,
        bind_first_key=not any_key and count == 1,
    )
    made = _existing(context, name) if show else context.act(lambda client: client.invite(new))
    if as_json:
        print_json(made)
        return
    if text:
        print(made.strings.get("invitation", NO_ADDRESS), end="")
        return
    until = f"for {ago(made.expires_at)}" if made.expires_at else "until revoked"
    say(f"For {made.name}, as {made.role}, {until}:")
    string = made.strings.get("ssh")
    print(string or NO_ADDRESS)
    if qr and string:
        print_qr(made.strings.get("web", string))


def _existing(context: Context, name: str) -> InviteView:
    """The newest invite of that name or public half that still works."""
    found = [made for made in context.call(HostClient.invites) if name in {made.name, made.route}]
    working = [made for made in found if made.state in {"active", "used-up"}]
    if not working:
        how = f"the one there was is {found[-1].state}" if found else "`uptui invites` lists them"
        raise ConfigError("NAME", f"no invite {name!r} works: {how}")
    return working[-1]


@click.command()
@json_flag
@click.pass_obj
def invites(context: Context, *, as_json: bool) -> None:
    """List invites; `uptui invite NAME --show` shows the string of one again."""
    found = context.call(HostClient.invites)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            made.name,
            made.role,
            made.landing,
            made.state,
            "any" if made.uses_left is None else made.uses_left,
            when(made.expires_at),
            made.route,
        )
        for made in found
    ]
    table(("NAME", "ROLE", "LANDING", "STATE", "LEFT", "ENDS", "INVITE"), rows)


@click.command()
@click.argument("route", metavar="NAME")
@json_flag
@click.pass_obj
def revoke(context: Context, *, route: str, as_json: bool) -> None:
    """End an invite; who is in stays."""
    context.act(lambda client: client.revoke(RouteName(route)))
    if as_json:
        print_json({"ok": True})
    else:
        print(f"revoked {route}")


def _shown(setting: Setting) -> str:
    if isinstance(setting.value, bool):
        return "true" if setting.value else "false"
    return setting.text or "-"


@click.command()
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--reset", is_flag=True, help="Take a live change back.")
@json_flag
@click.pass_obj
def settings(
    context: Context, *, key: str | None, value: str | None, reset: bool, as_json: bool
) -> None:
    """Show settings with where each came from, or change KEY to VALUE while sharing."""
    if key is not None and (value is not None or reset):
        wanted, new = key, _new_value(value, reset=reset)
        context.call(lambda client: client.change_setting(wanted, new))
    rows = context.call(HostClient.settings)
    if key is not None:
        rows = [row for row in rows if row.key in {key, f"host.{key}"}]
        if not rows:
            raise ConfigError(key, "there is no such setting; `uptui settings` lists them")
    if as_json:
        print_json(rows)
        return
    table(
        ("SETTING", "VALUE", "FROM", "WHERE", "LIVE"),
        [
            (row.key, _shown(row), row.origin, row.where or "-", "live" if row.live else "")
            for row in rows
        ],
    )


def _new_value(value: str | None, *, reset: bool) -> SettingValue:
    return None if reset else value
