"""`uptui relay`: run a relay in the foreground; its subcommands look after a running one."""

import asyncio
import contextlib
import dataclasses
import os
import resource
import signal
import socket
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uptui.cli.context import Context, flags_given, setting_flags
from uptui.cli.output import print_line
from uptui.config import OPTIONS, Address, Settings, unknown_variables
from uptui.errors import ConfigError, UptuiError
from uptui.paths import relay_state_dir
from uptui.runtime import event_loop
from uptui.runtime.gc_tuning import Collector

if TYPE_CHECKING:
    from uptui.relay.server import Relay
    from uptui.relay.settings import RelayAddresses
    from uptui.relay.settings import RelaySettings as Wanted


RELOADED = (
    "alias_ttl", "drain_timeout", "log_level", "max_aliases", "max_bytes_per_month", "max_ports",
    "max_ports_per_source", "max_sessions", "max_streams", "message", "origin", "rate",
    "token_port_ttl",
)  # fmt: skip
"""What SIGHUP changes in a running relay, besides the certificate files' contents."""
ADMIN_COMMANDS = ("account", "alias", "backup", "block", "restore", "session", "token")


class RelayGroup(click.Group):
    """Loads the administration commands only when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(ADMIN_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ADMIN_COMMANDS:
            return None
        from uptui.cli.relay_admin import relay_admin

        return relay_admin.get_command(ctx, cmd_name)


@click.command(cls=RelayGroup, invoke_without_command=True)
@setting_flags("relay")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as one JSON line.")
@click.pass_context
def relay(click_context: click.Context, *, as_json: bool, **parameters: Any) -> int | None:
    """Run a relay: the place where hosts and clients meet."""
    if click_context.invoked_subcommand is not None:
        return None
    context: Context = click_context.obj
    flags = flags_given(parameters)
    settings = context.settings(flags)
    serving = _serve(context, flags, settings, as_json=as_json)
    return event_loop.run(serving, poll=settings.relay.busy_poll, in_bulk=True)


async def _serve(
    context: Context, flags: dict[str, Any], started: Settings, *, as_json: bool
) -> int:
    from uptui.relay import logs
    from uptui.relay.server import Relay

    settings = started
    errors = logs.configure(settings.relay.log_level)

    def tell(text: str) -> None:
        errors.write(f"uptui relay: {text}\n")

    for warning in unknown_variables(os.environ):
        tell(warning)
    _raise_descriptor_limit()
    wanted = relay_settings(settings)
    server = Relay(wanted)
    addresses = await server.start()
    failed = server.failed
    collector = Collector()
    collector.settle()
    collecting = asyncio.ensure_future(collector.run())

    def reload() -> None:
        nonlocal settings
        settings = _reload(server, context, flags, started, tell) or settings

    stopped = asyncio.Event()
    with _signals(reload, signal.SIGHUP), _signals(stopped.set):
        _announce(wanted, addresses, tell, as_json=as_json)
        await _first(stopped, server.superseded, failed)
    if failed.is_set():
        tell("a background task failed, as logged above; ending with 1, so that it is restarted")
    grace = settings.relay.drain_timeout
    tell(f"open sessions get {grace:.0f} s; again to end now")
    again = asyncio.Event()
    with _signals(again.set):
        closing = asyncio.ensure_future(server.close(grace))
        hurried = asyncio.ensure_future(again.wait())
        await asyncio.wait({closing, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not closing.done():
            closing.cancel()
        closed, _ = await asyncio.gather(closing, hurried, return_exceptions=True)
    if isinstance(closed, Exception):
        raise closed
    collecting.cancel()
    return int(failed.is_set())


async def _first(*events: asyncio.Event) -> None:
    """Wait for any of them."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


@contextlib.contextmanager
def _signals(call: Callable[[], None], *numbers: signal.Signals) -> Generator[None]:
    """Call it on these signals, SIGTERM and SIGINT if none are given."""
    loop = asyncio.get_running_loop()
    chosen = numbers or (signal.SIGTERM, signal.SIGINT)
    for number in chosen:
        loop.add_signal_handler(number, call)
    yield
    for number in chosen:
        loop.remove_signal_handler(number)


def _reload(
    server: "Relay",
    context: Context,
    flags: dict[str, Any],
    running: Settings,
    tell: Callable[[str], None],
) -> Settings | None:
    """Read the configuration again; a wrong one is told and changes nothing.

    `running` is what the relay was started with.
    """
    from uptui.relay import logs

    try:
        settings = context.settings(flags)
        server.reload(relay_settings(settings))
    except UptuiError as error:
        tell(f"not reloaded: {error}")
        return None
    logs.set_level(settings.relay.log_level)
    waiting = _waiting(running, settings)
    tell(f"reloaded; for the next start: {', '.join(waiting)}" if waiting else "reloaded")
    return settings


def _waiting(running: Settings, wanted: Settings) -> list[str]:
    """The settings that differ from the running relay's and cannot change while it runs."""
    keys = [key for key, option in OPTIONS.items() if option.section == "relay"]
    changed = [key for key in keys if running.get(key) != wanted.get(key)]
    return [key for key in changed if key.removeprefix("relay.") not in RELOADED]


def _raise_descriptor_limit() -> None:
    """Let the relay open as many connections as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _announce(
    wanted: "Wanted", addresses: "RelayAddresses", tell: Callable[[str], None], *, as_json: bool
) -> None:
    url = wanted.join_url(addresses.http.port)
    if as_json:
        print_line(
            {
                "event": "ready",
                "url": url,
                "http": str(addresses.http),
                "ssh": str(addresses.ssh) if addresses.ssh else None,
                "ports": list(wanted.ports) if isinstance(wanted.ports, tuple) else None,
            }
        )
        return
    tell(f"hosts join with: uptui --relay {url}")


def _refuse_ignored(settings: Settings) -> None:
    """Refuse what was given, but would be ignored, to somebody's surprise. Raises ConfigError."""
    given = settings.relay
    mode = given.hosting
    ignored: dict[str, str] = {}
    if given.single is not None:
        ignored["relay.http"] = "--single serves HTTP as well; leave this out"
    if given.single is not None and given.ssh is not None:
        ignored["relay.ssh"] = "--single serves SSH as well; leave this out"
    if given.join_token and mode != "join-token":
        problem = f"nobody is asked for it with --hosting {mode}; add --hosting join-token"
        ignored["relay.join_token"] = problem
    if given.hosting_keys and mode != "keys":
        problem = f"the file is not read with --hosting {mode}; add --hosting keys"
        ignored["relay.hosting_keys"] = problem
    for key, problem in ignored.items():
        if settings.origin(key).kind != "default":
            raise ConfigError(settings.where(key), problem)


def relay_settings(settings: Settings) -> "Wanted":
    """What the relay takes, from the configuration. Raises ConfigError."""
    from uptui.protocol.login import Origin
    from uptui.relay.accounts.alias_service import NameSettings
    from uptui.relay.accounts.auth import Hosting
    from uptui.relay.accounts.quotas import Quotas
    from uptui.relay.ingress.self_signed import self_made
    from uptui.relay.services import ApiSettings
    from uptui.relay.settings import RelaySettings, SocketAddress, Tls

    _refuse_ignored(settings)
    given = settings.relay
    state = Path(given.state) if given.state else relay_state_dir()
    names = (field.name for field in dataclasses.fields(Quotas))
    quotas = Quotas(**{name: getattr(given, name) for name in names})
    keys = Path(given.hosting_keys) if given.hosting_keys else None

    tls = None
    if given.tls_cert and given.tls_key:
        tls = Tls(Path(given.tls_cert), Path(given.tls_key))
    elif given.self_signed:
        made = self_made(state, given.public_host or socket.getfqdn())
        tls = Tls(made.certificate, made.key, made.sha256)

    def at(address: Address | None) -> SocketAddress | None:
        return SocketAddress(*address) if address else None

    single = given.single is not None
    return RelaySettings(
        state_dir=state,
        public_host=given.public_host or socket.getfqdn(),
        http=None if single else at(given.http),
        ssh=None if single else at(given.ssh),
        single=at(given.single),
        ports=(given.ports.first, given.ports.last) if given.ports else None,
        ports_host=given.ports_host or "",
        tls=tls,
        streams=at(given.streams),
        public_ssh_port=given.public_ssh_port,
        websocket_only=given.websocket_only,
        origins=tuple(Origin.parse(text) for text in given.origin),
        message=given.message,
        trusted_proxies=given.trusted_proxies,
        rate=given.rate,
        takeover=given.takeover,
        api=ApiSettings(
            state_dir=state,
            database=given.database,
            hosting=Hosting(given.hosting, given.join_token, keys),  # pyright: ignore[reportArgumentType]
            names=NameSettings(
                ttl=given.alias_ttl, quotas=quotas, token_port_ttl=given.token_port_ttl
            ),
            public_metrics=given.public_metrics,
            trusted_proxies=given.trusted_proxies,
        ),
    )
