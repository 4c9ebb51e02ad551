"""Who is connected, and what the host decided about keys for as long as the daemon lives."""

from dataclasses import dataclass, field, replace
from typing import Final

from uptui.core.access import Approval, Arrival, Grant, Landing, grant
from uptui.core.requests import Who, who
from uptui.core.roles import Role
from uptui.protocol.names import ClientId, Fingerprint, RouteName

APPROVAL_GRACE: Final = 600.0
"""Seconds after the last connection within which a key approved once is not asked about again."""
MAX_APPROVALS: Final = 1000


@dataclass
class Client:
    """Somebody who is in."""

    arrival: Arrival
    grant: Grant
    landing: Landing
    """The landing wished for, whatever the present role makes of it."""
    since: float
    invite: RouteName | None = None

    def with_role(self, role: Role, reason: str) -> Grant:
        """Give another role; returns the new grant."""
        given = grant(self.grant.name, role, self.landing, reason)
        self.grant = replace(given, limits=self.grant.limits)
        return self.grant


@dataclass
class _Stay:
    approval: Approval
    ends_at: float | None
    base: Role | None = None
    """The role before the first live change."""
    clients: set[ClientId] = field(default_factory=set[ClientId])


class Connected:
    """Everybody who is in, by client id, and the visits that let a key in again."""

    def __init__(self) -> None:
        self._clients: dict[ClientId, Client] = {}
        self._stays: dict[Who, _Stay] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._clients

    def get(self, client_id: str) -> Client | None:
        return self._clients.get(ClientId(client_id))

    def all(self) -> list[Client]:
        """The longest connected first."""
        return list(self._clients.values())

    def of_key(self, fingerprint: Fingerprint) -> list[Client]:
        return [c for c in self._clients.values() if c.arrival.fingerprint == fingerprint]

    def enter(self, client: Client) -> None:
        """Somebody is in."""
        self._clients[client.arrival.client_id] = client
        stay = self._stays.get(who(client.arrival))
        if stay is not None:
            stay.clients.add(client.arrival.client_id)

    def leave(self, client_id: ClientId, now: float) -> Client | None:
        """Somebody is gone; the visit goes on for VISIT_GRACE after the last connection."""
        client = self._clients.pop(client_id, None)
        if client is None:
            return None
        stay = self._stays.get(who(client.arrival))
        if stay is not None:
            stay.clients.discard(client_id)
            if not stay.clients and not stay.approval.override:
                stay.ends_at = now + APPROVAL_GRACE
        return client

    def clock_moved(self, by: float) -> None:
        """The clock was set, or the machine slept: visits last as long as before."""
        for stay in self._stays.values():
            if stay.ends_at is not None:
                stay.ends_at += by

    def approval(self, arrival: Arrival, now: float) -> Approval | None:
        """What the host decided about this key; a proof is as good as the relay's word."""
        kinds = (True,) if arrival.vouched else (False, True)
        for vouched in kinds:
            stay = self._stays.get((arrival.fingerprint, vouched))
            if stay is not None and (stay.clients or stay.ends_at is None or now < stay.ends_at):
                return stay.approval
        return None

    def begin_approval(self, visitor: Who, given: Grant, now: float) -> None:
        """Let this key in again without asking, while it is here and a little longer."""
        self._put(visitor, _Stay(Approval(given), now + APPROVAL_GRACE), now)

    def override(self, client: Client, old: Role, now: float) -> None:
        """Make a live change of role hold when the same key connects again.

        A wider role given to a proved key does not hold for those that only the relay vouches for.
        """
        given, fingerprint = client.grant, client.arrival.fingerprint
        narrower = given.role.capabilities <= old.capabilities
        both = narrower or client.arrival.vouched
        for vouched in (True, False) if both else (client.arrival.vouched,):
            visitor = (fingerprint, vouched)
            before = self._stays.get(visitor)
            base = before.base if before is not None and before.base is not None else old
            clients = {c.arrival.client_id for c in self.of_key(fingerprint)}
            self._put(visitor, _Stay(Approval(given, override=True), None, base, clients), now)

    def expel(self, fingerprint: Fingerprint) -> None:
        """Let this key in by nothing that was decided before, but give it no more than that."""
        for vouched in (True, False):
            stay = self._stays.pop((fingerprint, vouched), None)
            if stay is None or stay.base is None:
                continue
            if stay.approval.grant.role.capabilities < stay.base.capabilities:
                approval = replace(stay.approval, admits=False)
                self._stays[fingerprint, vouched] = _Stay(approval, None, stay.base)

    def end_approvals(self, fingerprint: Fingerprint) -> None:
        """Forget what was decided about a key."""
        for vouched in (True, False):
            self._stays.pop((fingerprint, vouched), None)

    def rename(self, fingerprint: Fingerprint, name: str) -> None:
        """Call this key otherwise when it connects again."""
        for vouched in (True, False):
            stay = self._stays.get((fingerprint, vouched))
            if stay is not None:
                given = replace(stay.approval.grant, name=name)
                stay.approval = replace(stay.approval, grant=given)

    def _put(self, visitor: Who, stay: _Stay, now: float) -> None:
        self._stays.pop(visitor, None)
        self._stays[visitor] = stay
        if len(self._stays) > MAX_APPROVALS:
            for key, old in list(self._stays.items()):
                if not old.clients and old.ends_at is not None and old.ends_at <= now:
                    del self._stays[key]
        while len(self._stays) > MAX_APPROVALS:
            del self._stays[next(iter(self._stays))]
