"""Commands that look: status, url, clients, ports, doctor."""

import asyncio
import time

import click

from uptui.cli.context import Context
from uptui.cli.output import ago, amount, clean, json_flag, print_json, say, table
from uptui.client import HostClient
from uptui.core.keys import parse_public_key
from uptui.errors import ConfigError, NotRunningError
from uptui.protocol.host_api import Check, Snapshot


@click.command()
@json_flag
@click.pass_obj
def status(context: Context, *, as_json: bool) -> None:
    """Show the share: relay, address, who waits and who is in."""
    snapshot = context.call(HostClient.snapshot)
    if as_json:
        print_json(snapshot)
        return
    share, relay = snapshot.share, snapshot.relay
    rtt = f", {relay.rtt_ms:.0f} ms" if relay.rtt_ms is not None else ""
    why = f" ({clean(relay.reason)})" if relay.reason else ""
    retry = f", next try in {ago(relay.retry_at)}" if relay.retry_at else ""
    print(f"share     {share.name} on {share.hostname}, {share.status}, pid {share.pid}")
    print(f"relay     {relay.url} {relay.status}{rtt}{why}{retry}")
    print(f"connect   {snapshot.url.strings.get('ssh', '(not reachable yet)')}")
    for key in map(parse_public_key, snapshot.url.host_keys):
        print(f"host key  {key.fingerprint} ({key.kind})")
    print(f"alias     {share.alias or '-'}")
    lock = "locked: nobody new may join" if share.locked else f"unknown keys: {share.unknown}"
    print(f"joining   {lock}")
    if share.stops_at is not None:
        print(f"ends      in {ago(share.stops_at)}, when {share.stop_reason}")
    if share.recording:
        print("terminal  the shared terminal is recorded")
    print(f"waiting   {len(snapshot.pending)}")
    print(f"clients   {len(snapshot.clients)}")
    for problem in relay.refused:
        print(f"refused   {clean(problem)}")


@click.command()
@click.option("--format", "wanted", metavar="FORMAT", help="One format, such as ssh or vscode.")
@click.option("--all", "everything", is_flag=True, help="Every format with its name.")
@json_flag
@click.pass_obj
def url(context: Context, *, wanted: str | None, everything: bool, as_json: bool) -> None:
    """Print the string that others connect with."""
    found = context.call(HostClient.url)
    if as_json:
        print_json(found)
        return
    if everything:
        for name, text in found.strings.items():
            print(f"{name:<12} {text.rstrip()}")
        return
    text = found.strings.get(wanted or "ssh")
    if text is None and not found.strings:
        raise NotRunningError("the relay has not given an address yet; see `uptui status`")
    if text is None:
        known = ", ".join(found.strings)
        raise ConfigError("--format", f"there is no format {wanted!r}; there are {known}")
    print(text.rstrip())


@click.command()
@json_flag
@click.pass_obj
def clients(context: Context, *, as_json: bool) -> None:
    """List who is in, who waits, and which programs go on without their client."""
    snapshot = context.call(HostClient.snapshot)
    if as_json:
        left = [terminal for terminal in snapshot.terminals if terminal.kind == "left"]
        print_json({"pending": snapshot.pending, "clients": snapshot.clients, "left": left})
        return
    _pending(snapshot)
    headings = ("ID", "NAME", "ROLE", "KEY", "FROM", "PROGRAM", "WAY", "SINCE", "IDLE", "BYTES")
    rows = [
        (
            client.id,
            client.name,
            client.role,
            client.fingerprint[:19],
            client.address,
            client.program,
            client.way,
            ago(client.since),
            ago(client.last_activity),
            amount(client.received + client.sent),
        )
        for client in snapshot.clients
    ]
    if rows:
        table(headings, rows)
    else:
        say("Nobody is connected.")
    for client in snapshot.clients:
        for channel in client.channels:
            if channel.held_by:
                what = f"{clean(channel.held_by)} holds its output: {clean(channel.detail)}"
                print(f"{client.id} {client.name}: a command has ended, {what}")
    for left in snapshot.terminals:
        if left.kind == "left":
            since = f"{ago(left.detached_at)} ago"
            print(f"{left.id} left running by {left.owner} {since}: {clean(left.command)}")


def _pending(snapshot: Snapshot) -> None:
    if not snapshot.pending:
        return
    rows = [
        (
            pending.id,
            pending.name,
            pending.fingerprint,
            pending.address,
            pending.program,
            pending.wants,
            f"{max(0.0, pending.expires_at - time.time()):.0f}s",
            "waits" if pending.present else "left, may come back",
        )
        for pending in snapshot.pending
    ]
    table(("WAITING", "NAME", "KEY", "FROM", "PROGRAM", "WANTS", "LEFT", "STATE"), rows)
    for pending in snapshot.pending:
        if pending.warning:
            print(f"WARNING: {pending.id}: {clean(pending.name)}: {clean(pending.warning)}")
    print()


@click.command()
@json_flag
@click.pass_obj
def ports(context: Context, *, as_json: bool) -> None:
    """List listening ports of this machine and the forwards in use."""
    snapshot = context.call(HostClient.snapshot)
    if as_json:
        print_json({"ports": snapshot.ports, "forwards": snapshot.forwards})
        return
    table(
        ("PORT", "ADDRESS", "PROCESS", "PID"),
        [
            (port.port, port.address, port.process or "-", port.pid or "-")
            for port in snapshot.ports
        ],
    )
    if snapshot.forwards:
        print()
        rows = [
            (
                forward.client_name,
                forward.direction,
                f"{forward.listen} -> {forward.target}" if forward.listen else forward.target,
                forward.connections,
                amount(forward.received + forward.sent),
            )
            for forward in snapshot.forwards
        ]
        table(("CLIENT", "WAY", "FORWARD", "OPEN", "BYTES"), rows)


_SIGNS = {"ok": "ok  ", "warning": "WARN", "failed": "FAIL", "skipped": "-   "}


@click.command()
@json_flag
@click.pass_obj
def doctor(context: Context, *, as_json: bool) -> int:
    """Test the way to the relay and this machine; works without a running share, too."""
    try:
        checks = context.call(HostClient.doctor)
    except NotRunningError:
        checks = _examine_here(context)
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            hint = f"\n{'':25}-> {check.hint}" if check.hint else ""
            print(f"{_SIGNS[check.status]}  {check.name:<17}  {clean(check.detail)}{hint}")
    return 1 if any(check.status == "failed" for check in checks) else 0


def _examine_here(context: Context) -> list[Check]:
    from uptui.cli.embedded import configured_relay
    from uptui.host.doctor import examine

    settings = context.settings()
    relay = configured_relay(settings, context.places)
    say("uptui: no share is running; testing from here")
    return asyncio.run(examine(settings, context.places, relay))
