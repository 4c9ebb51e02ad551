"""What the API may ask and do about connected hosts; implements live.LiveHosts."""

import time
from collections.abc import Sequence

from uptui.protocol.control import Goodbye, WithdrawalReason
from uptui.protocol.names import RouteName
from uptui.relay.accounts.alias_rules import owner_of
from uptui.relay.ingress.direct_ports import DirectPorts
from uptui.relay.live import LiveHost, OwnerNow
from uptui.relay.tunnel.broker import Broker
from uptui.relay.tunnel.registry import ConnectedHost


class Directory:
    """The connected hosts; `broker` and `ports` are set once the relay is wired."""

    def __init__(self) -> None:
        self.broker: Broker | None = None
        self.ports: DirectPorts | None = None

    def live_hosts(self) -> Sequence[LiveHost]:
        """Every host that has published."""
        broker = self.broker
        if broker is None:
            return ()
        return [_live(broker, host) for host in broker.registry.hosts if host.revision >= 0]

    def is_online(self, name: str) -> bool:
        """Whether clients reach somebody by this name now."""
        return self.broker is not None and self.broker.registry.serving(name) is not None

    async def disconnect(self, session_id: str, message: str) -> bool:
        """End a host's control channel and its streams; False when there is no such session."""
        broker = self.broker
        if broker is None:
            return False
        host = next((h for h in broker.registry.hosts if h.session_id == session_id), None)
        channel = broker.channel(host.id) if host is not None else None
        if host is None or channel is None:
            return False
        channel.close(Goodbye(reason="revoked", message=message))
        broker.pipes.abort(host.id)
        return True

    async def withdraw(self, name: str, reason: WithdrawalReason, owner: OwnerNow) -> None:
        """See LiveHosts. A new owner may have come while the old one's wish was carried out, or
        comes while we ask: what is compared is who serves with who owns, at one moment."""
        broker, ports, route = self.broker, self.ports, RouteName(name)
        if broker is None or ports is None:
            return
        broker.registry.changed_hands(route)
        while (host := broker.registry.serving(name)) is not None:
            revision = host.revision
            owned_by = await owner(name)
            if broker.registry.serving(name) is not host or host.revision != revision:
                continue
            if owned_by != owner_of(host.identity):
                broker.withdraw(host, route, reason)
                ports.close(route)
            return


def _live(broker: Broker, host: ConnectedHost) -> LiveHost:
    tallies = [tally for (name, _), tally in broker.tallies.items() if name in host.routes]
    return LiveHost(
        session_id=host.session_id,
        fingerprint=host.identity.fingerprint,
        account=host.identity.account,
        address=host.address,
        software=host.software,
        since=round(time.time() - (broker.now() - host.since)),
        aliases=[route.name for route in host.routes.values() if route.kind == "alias"],
        routes=len(host.routes),
        streams=sum(tally.open for tally in tallies),
        received=sum(tally.received for tally in tallies),
        sent=sum(tally.sent for tally in tallies),
        token=host.identity.token,
    )
