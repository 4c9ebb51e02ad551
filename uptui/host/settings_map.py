"""Turns the configuration into what each part of the host takes; no IO."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

from uptui.config import RoleTable, Settings
from uptui.core.access import landing_of
from uptui.core.policies import Rules
from uptui.core.roles import BUILT_IN, Capability, Role
from uptui.core.share_state import ShareSettings
from uptui.core.terminal_size import SizePolicy
from uptui.host.sshd.settings import ACCEPT_ENV, SSHSettings
from uptui.host.terminals.terminals import TerminalSettings
from uptui.protocol.host_api import UnknownPolicy


def _roles(tables: Mapping[str, RoleTable]) -> dict[str, Role]:
    own = {
        name: Role(
            name,
            frozenset(Capability(word) for word in table.capabilities),
            table.forward_allow,
            table.forward_deny,
            table.files_root,
            table.description,
        )
        for name, table in tables.items()
    }
    return {**BUILT_IN, **own}


def share_settings(settings: Settings, alias: str | None) -> ShareSettings:
    """For core.share."""
    host = settings.host
    return ShareSettings(
        alias=alias,
        unknown=cast("UnknownPolicy", host.unknown),
        e2e_only=host.e2e_only,
        plain_invites=host.plain_invites,
        default_role=host.default_role,
        default_landing=landing_of(host.landing),
        roles=_roles(settings.roles),
        approval_timeout=host.approval_timeout,
        max_clients=host.max_clients,
        rules=Rules(
            stop_unused=host.stop_if_unused,
            stop_idle=host.stop_if_idle,
            stop_at=host.stop_at,
            rotate_every=host.rotate_every,
        ),
    )


def ssh_settings(settings: Settings, host_name: str) -> SSHSettings:
    """For host.sshd."""
    host = settings.host
    return SSHSettings(
        host_name=host_name,
        cwd=host.cwd,
        shell=host.shell,
        accept_env=(*ACCEPT_ENV, *host.accept_env),
        banner=host.banner,
        keepalive_interval=host.keepalive,
        cut_output=host.cut_output,
    )


def terminal_settings(
    settings: Settings, command: tuple[str, ...], directory: str | None, recordings: Path
) -> TerminalSettings:
    """For host.terminals; `command` runs in `directory` unless a directory is configured."""
    host = settings.host
    return TerminalSettings(
        command=command,
        cwd=host.cwd or directory,
        size_policy=size_policy(settings),
        grace=host.keep_shells,
        max_kept=host.keep_shells_max,
        record=host.record,
        recordings=recordings,
    )


def size_policy(settings: Settings) -> SizePolicy:
    """Whose window sets the size of the shared terminal."""
    return cast("SizePolicy", settings.host.terminal_size)


def transport(settings: Settings) -> Literal["auto", "tcp", "websocket"]:
    """For host.relay_link."""
    return cast("Literal['auto', 'tcp', 'websocket']", settings.host.transport)
