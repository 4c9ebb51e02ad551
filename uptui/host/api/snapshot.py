"""Draws the Snapshot from the parts of the daemon; decides nothing."""

from dataclasses import dataclass

from uptui import __version__
from uptui.host.share_commands import ShareCommands
from uptui.protocol import host_api
from uptui.protocol.host_api import (
    ListeningPort,
    RelayView,
    ShareStatus,
    Snapshot,
    Strings,
    TerminalView,
)
from uptui.protocol.names import Fingerprint
from uptui.text import clean


@dataclass(frozen=True)
class Unchanging:
    """What is the same for the whole life of the daemon."""

    name: str
    hostname: str
    os_user: str
    pid: int
    started_at: float
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Moment:
    """What the parts beside the share say now."""

    status: ShareStatus
    alias: str | None
    e2e_only: bool
    unknown: host_api.UnknownPolicy
    record: bool
    relay: RelayView
    url: Strings
    ports: list[ListeningPort]
    terminals: list[TerminalView]


def draw(fixed: Unchanging, moment: Moment, share_commands: ShareCommands) -> Snapshot:
    """Everything at this moment; `taken_at` is filled in by who sends it."""
    parts = share_commands.parts()
    share = host_api.ShareView(
        name=fixed.name,
        hostname=fixed.hostname,
        os_user=fixed.os_user,
        version=__version__,
        pid=fixed.pid,
        started_at=fixed.started_at,
        status=moment.status,
        fingerprint=fixed.fingerprint,
        alias=moment.alias,
        token=parts.token,
        token_rotates_at=parts.token_rotates_at,
        locked=parts.locked,
        e2e_only=moment.e2e_only,
        unknown=moment.unknown,
        recording=moment.record or any(terminal.recording for terminal in moment.terminals),
        stops_at=parts.ending.at if parts.ending else None,
        stop_reason=parts.ending.reason if parts.ending else "",
        unsaved=parts.unsaved,
    )
    return Snapshot(
        taken_at=0.0,
        share=share,
        relay=moment.relay,
        url=moment.url,
        traffic=parts.traffic,
        pending=parts.pending,
        clients=parts.clients,
        forwards=parts.forwards,
        ports=[_cleaned(port) for port in moment.ports],
        invites=parts.invites,
        people=parts.people,
        terminals=moment.terminals,
        roles=parts.roles,
        log=parts.log,
    )


def _cleaned(port: ListeningPort) -> ListeningPort:
    return ListeningPort(
        port=port.port, address=port.address, process=clean(port.process), pid=port.pid
    )
