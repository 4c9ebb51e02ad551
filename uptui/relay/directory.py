"""What the API may ask and do about connected hosts; implements live.LiveHosts."""

import time
from collections.abc import Sequence

from uptui.protocol.control import Goodbye
from uptui.protocol.names import RouteName
from uptui.relay.live import LiveHost
from uptui.relay.ports import DirectPorts
from uptui.relay.registry import Host
from uptui.relay.switchboard import Switchboard


class Directory:
    """The connected hosts; `switchboard` and `ports` are set once the relay is wired."""

    def __init__(self) -> None:
        self.switchboard: Switchboard | None = None
        self.ports: DirectPorts | None = None

    def live_hosts(self) -> Sequence[LiveHost]:
        """Every host that has published."""
        board = self.switchboard
        if board is None:
            return ()
        return [_live(board, host) for host in board.registry.hosts if host.revision >= 0]

    def is_online(self, name: str) -> bool:
        """Whether clients reach somebody by this name now."""
        return self.switchboard is not None and self.switchboard.registry.serving(name) is not None

    async def disconnect(self, session_id: str, message: str) -> bool:
        """End a host's control channel and its streams; False when there is no such session."""
        board = self.switchboard
        if board is None:
            return False
        host = next((h for h in board.registry.hosts if h.session_id == session_id), None)
        channel = board.channel(host.id) if host is not None else None
        if host is None or channel is None:
            return False
        channel.close(Goodbye(reason="revoked", message=message))
        board.splices.abort(host.id)
        return True

    async def close_route(self, name: str) -> None:
        """Stop serving a name that its host no longer owns; unknown names are fine."""
        if self.switchboard is not None:
            self.switchboard.registry.close_route(RouteName(name))
        if self.ports is not None:
            self.ports.close(RouteName(name))


def _live(board: Switchboard, host: Host) -> LiveHost:
    tallies = [tally for (name, _), tally in board.tallies.items() if name in host.routes]
    return LiveHost(
        session_id=host.session_id,
        fingerprint=host.identity.fingerprint,
        account=host.identity.account,
        address=host.address,
        software=host.software,
        since=round(time.time() - (board.now() - host.since)),
        aliases=[route.name for route in host.routes.values() if route.kind == "alias"],
        routes=len(host.routes),
        streams=sum(tally.open for tally in tallies),
        received=sum(tally.received for tally in tallies),
        sent=sum(tally.sent for tally in tallies),
        token=host.identity.token,
    )
