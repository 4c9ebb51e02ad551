"""Commands about people remembered by key: list, rename, change the role of, block, forget."""

import click

from uptui.cli.context import Context
from uptui.cli.output import ago, json_flag, print_json, table
from uptui.client import HostClient
from uptui.errors import ApiError
from uptui.protocol.host_api import EditPerson, PersonView
from uptui.protocol.names import ClientId


@click.command()
@json_flag
@click.pass_obj
def people(context: Context, *, as_json: bool) -> None:
    """List who is remembered by key."""
    found = context.call(HostClient.people)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            person.fingerprint,
            person.name,
            "blocked" if person.blocked else person.role or "(asked)",
            person.source,
            ago(person.last_seen),
        )
        for person in found
    ]
    table(("KEY", "NAME", "ROLE", "SOURCE", "SEEN"), rows)


async def _person(client: HostClient, who: str) -> PersonView:
    """`who` is a fingerprint, a client id or the unambiguous name of somebody known."""
    known = await client.people()
    connected = {found.id: found.fingerprint for found in (await client.snapshot()).clients}
    wanted = connected.get(ClientId(who), who)
    found = [person for person in known if wanted in {person.fingerprint, person.name}]
    if len(found) != 1:
        problem = "several people are called" if found else "nobody known is called"
        raise ApiError(404, "Not found", f"{problem} {who!r}; `uptui people` lists them")
    return found[0]


def _edit(context: Context, who: str, change: EditPerson) -> PersonView:
    async def act(client: HostClient) -> PersonView:
        person = await _person(client, who)
        await client.edit_person(person.fingerprint, change)
        return person

    return context.act(act)


def _done(text: str, person: PersonView, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True, "fingerprint": person.fingerprint})
    else:
        print(text)


@click.command()
@click.argument("who", metavar="ID|KEY|NAME")
@click.argument("role_name", metavar="ROLE")
@json_flag
@click.pass_obj
def role(context: Context, *, who: str, role_name: str, as_json: bool) -> None:
    """Give a connected client (ID), or somebody known for good, another role, at once."""

    async def act(client: HostClient) -> str:
        if any(found.id == who for found in (await client.snapshot()).clients):
            await client.change_role(ClientId(who), role_name)
            return who
        person = await _person(client, who)
        await client.edit_person(person.fingerprint, EditPerson(role=role_name))
        return person.fingerprint

    changed = context.act(act)
    print_json({"ok": True}) if as_json else print(f"{changed} is {role_name} now")


@click.command()
@click.argument("who", metavar="KEY|NAME|ID")
@json_flag
@click.pass_obj
def block(context: Context, *, who: str, as_json: bool) -> None:
    """Disconnect a key, end the shells kept for it, and refuse it from now on."""
    person = _edit(context, who, EditPerson(blocked=True))
    _done(f"blocked {person.fingerprint}", person, as_json=as_json)


@click.command()
@click.argument("who", metavar="KEY|NAME")
@json_flag
@click.pass_obj
def unblock(context: Context, *, who: str, as_json: bool) -> None:
    """Take a block back."""
    person = _edit(context, who, EditPerson(blocked=False))
    _done(f"no longer blocked: {person.fingerprint}", person, as_json=as_json)


@click.command()
@click.argument("who", metavar="KEY|NAME|ID")
@click.argument("new_name", metavar="NEW-NAME")
@json_flag
@click.pass_obj
def rename(context: Context, *, who: str, new_name: str, as_json: bool) -> None:
    """Call somebody known otherwise."""
    person = _edit(context, who, EditPerson(name=new_name))
    _done(f"{person.fingerprint} is called {new_name} now", person, as_json=as_json)


@click.command()
@click.argument("who", metavar="KEY|NAME|ID")
@json_flag
@click.pass_obj
def forget(context: Context, *, who: str, as_json: bool) -> None:
    """Forget a key with its name, role and block; who is in stays."""

    async def act(client: HostClient) -> PersonView:
        person = await _person(client, who)
        await client.forget_person(person.fingerprint)
        return person

    person = context.act(act)
    _done(f"forgot {person.fingerprint}", person, as_json=as_json)
