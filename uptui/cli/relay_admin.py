"""`uptui relay token|account|alias|session|block|backup|restore`: commands for a relay's operator.

Everything but `restore --database` is a call of the relay's API. Results go to stdout, as a table
or with --json; failures are exceptions of errors.py for the composition root to put into words.
"""

import asyncio
import functools
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec
from urllib.parse import quote

import click

from uptui.cli.relay_client import AdminClient, RelayTarget, upload
from uptui.errors import ConfigError, StateError
from uptui.paths import relay_state_dir

DEFAULT_API: Final = "http://127.0.0.1:8080"
P = ParamSpec("P")


def _connected(
    function: Callable[Concatenate[AdminClient, P], None],
) -> Callable[P, None]:
    """Give a command the options that say which relay, and a client of it."""

    @click.option("--api", default=DEFAULT_API, envvar="UPTUI_RELAY_API", show_default=True,
                  help="The relay's HTTP API; #sha256=HEX pins its certificate.")  # fmt: skip
    @click.option("--token", envvar="UPTUI_RELAY_TOKEN", show_envvar=True, metavar="TOKEN",
                  help="API token; better in the variable than on the command line.")  # fmt: skip
    @click.option("--state-dir", envvar="UPTUI_RELAY_STATE", show_envvar=True,
                  type=click.Path(path_type=Path, file_okay=False),
                  help="The relay's state directory, whose admin-token file is used.")  # fmt: skip
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        target = RelayTarget(
            kwargs.pop("api"), kwargs.pop("token"), kwargs.pop("state_dir") or relay_state_dir()
        )
        client = AdminClient(target)
        try:
            function(client, *args, **kwargs)
        finally:
            client.close()

    return run


_json = click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")


def _show(items: Sequence[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(list(items), indent=2))
        return
    rows = [[_cell(column, item.get(column)) for column in columns] for item in items]
    heads = [column.replace("_", " ").upper() for column in columns]
    table = [heads, *rows]
    widths = [max(len(row[n]) for row in table) for n in range(len(columns))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"  # pyright: ignore[reportUnknownArgumentType]
    if column.endswith("_at") or column == "since":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
    return "".join(char if char.isprintable() else "?" for char in str(value))


@click.group()
def relay_admin() -> None:
    """Administer a relay over its API."""


@relay_admin.group()
def token() -> None:
    """API tokens: they let machines join, and people administer."""


@token.command("list")
@_json
@_connected
def token_list(client: AdminClient, as_json: bool) -> None:
    """List API tokens; secrets are shown only when issued."""
    columns = ("id", "account", "scopes", "label", "valid", "expires_at", "last_used_at")
    _show(list(client.pages("/v1/tokens")), columns, as_json)


@token.command("issue")
@click.argument("token_id", metavar="ID")
@click.option("--account", help="The account that the token acts for.")
@click.option("--scope", "scopes", multiple=True, default=("host", "aliases"), show_default=True,
              type=click.Choice(["host", "aliases", "read", "admin"]))  # fmt: skip
@click.option("--label", default="", help="What it is for.")
@click.option("--days", type=click.FloatRange(0, 3650, min_open=True), help="Days that it lives.")
@_json
@_connected
def token_issue(
    client: AdminClient,
    token_id: str,
    account: str | None,
    scopes: tuple[str, ...],
    label: str,
    days: float | None,
    as_json: bool,
) -> None:
    """Issue a token called ID and print its secret once; again replaces the secret."""
    wish: dict[str, Any] = {"scopes": list(scopes), "account": account, "label": label}
    if days is not None:
        wish["expires_in"] = days * 86400
    issued = client.call("PUT", f"/v1/tokens/{quote(token_id, '')}", body=wish)
    click.echo(json.dumps(issued, indent=2) if as_json else issued["secret"])


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@_connected
def token_revoke(client: AdminClient, token_id: str) -> None:
    """Make a token worthless with every login made by it, and disconnect the hosts it let in."""
    client.call("DELETE", f"/v1/tokens/{quote(token_id, '')}")


@relay_admin.group()
def account() -> None:
    """Accounts: parties that host, with their quotas."""


@account.command("list")
@_json
@_connected
def account_list(client: AdminClient, as_json: bool) -> None:
    """List accounts with quotas and this month's use."""
    columns = ("name", "disabled", "max_sessions", "max_aliases", "max_bytes_per_month",
               "bytes_this_month", "streams_this_month")  # fmt: skip
    _show(list(client.pages("/v1/accounts")), columns, as_json)


@account.command("set")
@click.argument("name")
@click.option("--disable/--enable", "disabled", default=False, help="Lock the account out.")
@click.option("--max-sessions", type=click.IntRange(0))
@click.option("--max-aliases", type=click.IntRange(0))
@click.option("--max-bytes-per-month", type=click.IntRange(0))
@_connected
def account_set(client: AdminClient, name: str, **settings: Any) -> None:
    """Create or change an account; quotas not given are the relay's defaults."""
    client.call("PUT", f"/v1/accounts/{quote(name, '')}", body=settings)


@account.command("remove")
@click.argument("name")
@click.confirmation_option(prompt="Delete this account and its tokens?")
@_connected
def account_remove(client: AdminClient, name: str) -> None:
    """Delete an account with its tokens, and disconnect its hosts."""
    client.call("DELETE", f"/v1/accounts/{quote(name, '')}")


@relay_admin.group()
def alias() -> None:
    """Everybody's aliases, as the operator sees them."""


@alias.command("list")
@_json
@_connected
def alias_list(client: AdminClient, as_json: bool) -> None:
    """List all aliases."""
    columns = ("name", "owner", "port", "online", "last_used_at", "expires_at")
    _show(list(client.pages("/v1/aliases", everybody=True)), columns, as_json)


@alias.command("release")
@click.argument("name")
@_connected
def alias_release(client: AdminClient, name: str) -> None:
    """Take an alias away from its owner."""
    client.call("DELETE", f"/v1/aliases/{quote(name, '')}")


@alias.command("transfer")
@click.argument("name")
@click.argument("public_key")
@_connected
def alias_transfer(client: AdminClient, name: str, public_key: str) -> None:
    """Give an alias to the identity with this PUBLIC_KEY (OpenSSH format)."""
    client.call("POST", f"/v1/aliases/{quote(name, '')}/transfer", body={"to": public_key})


@relay_admin.group()
def session() -> None:
    """Hosts connected now."""


@session.command("list")
@_json
@_connected
def session_list(client: AdminClient, as_json: bool) -> None:
    """List connected hosts."""
    columns = ("id", "account", "fingerprint", "address", "aliases", "streams", "since")
    _show(list(client.pages("/v1/sessions")), columns, as_json)


@session.command("end")
@click.argument("session_id", metavar="ID")
@click.option("--message", default="", help="Shown to the host's owner.")
@_connected
def session_end(client: AdminClient, session_id: str, message: str) -> None:
    """Disconnect a host and end its streams."""
    path = f"/v1/sessions/{quote(session_id, '')}"
    client.call("DELETE", path, query={"message": message})


@relay_admin.command()
@click.argument("fingerprint")
@click.option("--undo", is_flag=True, help="Let the identity in again.")
@_connected
def block(client: AdminClient, fingerprint: str, undo: bool) -> None:
    """Shut the identity with this FINGERPRINT (SHA256:...) out at once."""
    client.call("PUT", "/v1/blocks", body={"fingerprint": fingerprint, "blocked": not undo})


@relay_admin.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_connected
def backup(client: AdminClient, file: Path) -> None:
    """Write everything that the relay remembers to FILE (0600), while it runs."""
    fresh = file.with_name(f"{file.name}.part")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            last = b""
            for chunk in client.download("/v1/backup"):
                output.write(chunk)
                last = (last + chunk)[-32:]
        if not last.endswith(b'{"end":true}\n'):
            raise StateError(fresh, "the backup was cut off; the relay's log says why")
        fresh.replace(file)
    except OSError as error:
        raise StateError(fresh, f"cannot be written: {error.strerror}") from error


@relay_admin.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--database", metavar="FILE|URL",
              help="Put back into this database directly; the relay must be stopped.")  # fmt: skip
@click.option("--api", default=DEFAULT_API, envvar="UPTUI_RELAY_API", show_default=True)
@click.option("--token", envvar="UPTUI_RELAY_TOKEN", metavar="TOKEN")
@click.option("--state-dir", envvar="UPTUI_RELAY_STATE", type=click.Path(path_type=Path))
@click.confirmation_option(prompt="Replace everything that the relay remembers?")
def restore(
    file: Path, database: str | None, api: str, token: str | None, state_dir: Path | None
) -> None:
    """Replace everything that the relay remembers by FILE: all of it, or nothing on a problem."""
    if database is not None:
        rows = asyncio.run(_restore_directly(file, database))
    else:
        client = AdminClient(RelayTarget(api, token, state_dir or relay_state_dir()))
        try:
            rows = client.call("POST", "/v1/restore", content=upload(file))["rows"]
        finally:
            client.close()
    click.echo(", ".join(f"{count} {name}" for name, count in sorted(rows.items())))


async def _restore_directly(file: Path, database: str) -> dict[str, int]:
    """Restore without a relay; a damaged SQLite file is set aside first."""
    from uptui.relay.store import open_database, parse_database
    from uptui.relay.store.dump import restore as put_back

    try:
        opened = await open_database(database)
    except StateError as error:
        if "damaged" not in error.problem:
            raise
        _set_aside(Path(parse_database(database).database or ""))
        opened = await open_database(database)
    try:
        return await put_back(opened, _lines(file))
    finally:
        await opened.close()


def _set_aside(path: Path) -> None:
    damaged = path.with_name(f"{path.name}.damaged")
    if damaged.exists():
        raise ConfigError("--database", f"{damaged} is in the way; move it elsewhere first")
    path.rename(damaged)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


async def _lines(file: Path) -> AsyncIterator[bytes]:
    rest = b""
    for chunk in upload(file):
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line
    if rest:
        yield rest
