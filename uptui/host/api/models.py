"""Draws the host API's models from the share and the live connections; decides nothing."""

from collections.abc import Iterable, Mapping

from uptui.core.connected import Client
from uptui.core.traffic import SECONDS, Meter
from uptui.host.sshd.access_control import Guest, GuestReport
from uptui.protocol import host_api
from uptui.protocol.names import ClientId
from uptui.text import clean, clean_name


def _history(meter: Meter) -> list[float]:
    received, sent = meter.received.seconds, meter.sent.seconds
    return [float(a + b) for a, b in zip(received, sent, strict=True)]


def client_model(client: Client, guest: Guest, report: GuestReport) -> host_api.ClientView:
    """How the host API shows a client."""
    arrival, meter = client.arrival, guest.meter
    return host_api.ClientView(
        id=arrival.client_id,
        name=client.grant.name,
        user=clean_name(arrival.user),
        fingerprint=arrival.fingerprint,
        verification="vouched" if arrival.vouched else "proved",
        verified_by=client.grant.reason,
        role=client.grant.role.name,
        address=clean(arrival.address),
        program=clean(arrival.program),
        way=arrival.way,
        route=arrival.route,
        since=client.since,
        last_activity=report.last_activity,
        received=meter.received.total,
        sent=meter.sent.total,
        receive_rate=meter.received.rate,
        send_rate=meter.sent.rate,
        rate_history=_history(meter),
        cipher=report.cipher,
        kex=report.kex,
        channels=report.channels,
        transfers=report.transfers,
    )


def forwards_of(
    clients: Iterable[Client], reports: Mapping[ClientId, GuestReport]
) -> list[host_api.Forward]:
    """Every forward, with the name that the host gave its owner."""
    return [
        host_api.Forward(
            client_id=client.arrival.client_id,
            client_name=client.grant.name,
            direction=forward.direction,
            listen=clean(forward.listen),
            target=clean(forward.target),
            connections=forward.connections,
            total_connections=forward.total_connections,
            received=forward.received,
            sent=forward.sent,
        )
        for client in clients
        if client.arrival.client_id in reports
        for forward in reports[client.arrival.client_id].forwards
    ]


def traffic_model(meter: Meter) -> host_api.Traffic:
    """All clients together; 60 seconds always, so that a chart has its full width."""
    return host_api.Traffic(
        received=meter.received.total,
        sent=meter.sent.total,
        receive_rate=meter.received.rate,
        send_rate=meter.sent.rate,
        seconds_received=_padded(meter.received.seconds),
        seconds_sent=_padded(meter.sent.seconds),
        minutes_received=meter.received.minutes,
        minutes_sent=meter.sent.minutes,
    )


def _padded(seconds: list[int]) -> list[int]:
    return [0] * (SECONDS - len(seconds)) + seconds
