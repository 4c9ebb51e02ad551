"""What is known of the link at this moment, as the snapshot shows it; no IO."""

from collections import deque
from collections.abc import Callable
from typing import Final

from uptui.host.relay_link.streams import TransportChoice
from uptui.protocol.control import Granted, Published, Refusal, Welcome, Withdrawn
from uptui.protocol.host_api import ReconnectEntry, RelayStatus, RelayView
from uptui.protocol.names import RouteName, masked

MAX_RTT: Final = 120
MAX_RECONNECTS: Final = 50


def told(refusal: Refusal) -> str:
    """Why a name was refused, with free ones close to it."""
    near = f"; free: {', '.join(refusal.suggestions)}" if refusal.suggestions else ""
    return f"{refusal.message}{near}"


class LinkStatus:
    """The state of one link and its short history."""

    def __init__(self, url: str, *, embedded: bool, clock: Callable[[], float]) -> None:
        self.url = url
        self.embedded = embedded
        self.status: RelayStatus = "starting"
        self.since = clock()
        self.reason = ""
        self.retry_at: float | None = None
        self.welcome: Welcome | None = None
        """That of the newest channel, kept after its loss: the strings stay what they were."""
        self.choice: TransportChoice | None = None
        self.granted: dict[RouteName, Granted] = {}
        self.refused: list[Refusal] = []
        self.lost: dict[RouteName, Refusal] = {}
        """Names that the relay took away: not wished for until somebody here asks again."""
        self.warning = ""
        """What people should know about this link although it works."""
        self._clock = clock
        self._rtt: deque[float] = deque(maxlen=MAX_RTT)
        self._reconnects: deque[ReconnectEntry] = deque(maxlen=MAX_RECONNECTS)

    def now(self, status: RelayStatus, reason: str = "", *, retry_in: float | None = None) -> None:
        """Enter a state."""
        at = self._clock()
        if self.status == "up" and status != "up":
            self._reconnects.append(ReconnectEntry(at=at, reason=reason, lasted=at - self.since))
        if status != self.status:
            self.since = at
        self.status, self.reason = status, reason
        self.retry_at = None if retry_in is None else at + retry_in

    def published(self, outcome: Published) -> None:
        """Take what the relay granted and refused."""
        self.granted = {granted.name: granted for granted in outcome.granted}
        self.refused = [*outcome.refused, *self.lost.values()]

    def withdrawn(self, lost: Withdrawn) -> None:
        """Serve a name no more."""
        self.granted.pop(lost.name, None)
        self.lost[lost.name] = Refusal(name=lost.name, code="taken", message=lost.message)
        others = [refusal for refusal in self.refused if refusal.name not in self.lost]
        self.refused = [*others, *self.lost.values()]

    def round_trip(self, seconds: float) -> None:
        self._rtt.append(round(seconds * 1000, 3))

    def model(self) -> RelayView:
        """What the host API shows."""
        up = self.status == "up"
        return RelayView(
            url=self.url,
            embedded=self.embedded,
            status=self.status,
            since=self.since,
            reason=self.reason,
            retry_at=self.retry_at,
            rtt_ms=self._rtt[-1] if up and self._rtt else None,
            rtt_history=list(self._rtt),
            warning=self.warning,
            transport=self.choice.transport if self.choice and up else "",
            transport_reason=self.choice.reason if self.choice and up else "",
            software=self.welcome.software if self.welcome else "",
            message=self.welcome.message if self.welcome else "",
            refused=[f"{masked(refusal.name)}: {told(refusal)}" for refusal in self.refused],
            reconnects=list(self._reconnects),
        )
