"""Invites: random names with a role, a landing, an end and a number of uses.

The route is the public half, which relays know; what admits is the secret, which we keep as it is,
because the host is shown the whole string again.

A use is a key: everybody who used an invite may come back by it, with any number of connections,
until it expires or is revoked. An IDE opens several connections and a link breaks; neither may
lock out who was invited. An invite that binds to the first key admits only that key.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from uptui.protocol import host_api
from uptui.protocol.names import (
    Fingerprint,
    RouteName,
    new_invite,
    new_secret,
    split_secret,
    with_secret,
)
from uptui.text import clean_name

MAX_INVITES: Final = 200
"""Invites that work at the same time; each is a route at the relay."""
MAX_USES: Final = 10_000
MAX_LIFETIME: Final = 366 * 86400.0
"""Longest time to expiry in seconds."""
KEEP_ENDED: Final = 7 * 86400.0
"""Seconds that an ended invite stays listed."""
MAX_ENDED: Final = 200

State = Literal["active", "used-up", "expired", "revoked"]


class Invite(msgspec.Struct, frozen=True, kw_only=True):
    """One invite as it is stored."""

    route: RouteName
    secret: str = ""
    name: str
    role: str
    landing: str
    created_at: float
    expires_at: float | None = None
    uses: int | None = None
    """How many different keys it admits; None is any number."""
    bind_first_key: bool = True
    used_by: tuple[Fingerprint, ...] = ()
    revoked_at: float | None = None
    overheard: bool = False
    """Somebody said the secret where the relay reads it: further keys need a person's yes."""

    @property
    def user(self) -> str:
        """The SSH user name that uses it; a secret."""
        return with_secret(self.route, self.secret)

    @property
    def bound_to(self) -> Fingerprint | None:
        return self.used_by[0] if self.bind_first_key and self.used_by else None

    @property
    def uses_left(self) -> int | None:
        if self.bind_first_key:
            return 0 if self.used_by else 1
        return None if self.uses is None else max(0, self.uses - len(self.used_by))

    def state(self, now: float) -> State:
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        return "used-up" if self.uses_left == 0 else "active"

    def works(self, now: float) -> bool:
        """Whether anybody at all may still come by it, so that its route must be published."""
        return self.state(now) in {"active", "used-up"}

    def problem(self, fingerprint: Fingerprint, now: float) -> str | None:
        """Why this key may not use it, in words for the client, or None."""
        state = self.state(now)
        if state == "revoked":
            return "This invite was revoked."
        if state == "expired":
            return "This invite has expired. Ask whoever sent it for another."
        if fingerprint in self.used_by or state == "active":
            return None
        return "This invite was already used with another key. Ask whoever sent it for another."


class InviteError(ValueError):
    """An invite that cannot be made; the text says why."""


def _checked(new: host_api.NewInvite, name: str) -> None:
    if not name:
        raise InviteError("an invite needs a name: who is it for?")
    if "/" in name or name in {".", ".."}:
        raise InviteError("the name of an invite is no path: it has no '/' and is not '.' or '..'")
    if new.uses is not None and not 1 <= new.uses <= MAX_USES:
        raise InviteError(f"uses must be from 1 to {MAX_USES}, or none for any number")
    if new.expires_in is not None and not 0 < new.expires_in <= MAX_LIFETIME:
        raise InviteError(
            f"an invite expires within {MAX_LIFETIME / 86400:.0f} days, in more than 0 seconds, "
            "or never"
        )


class Invites:
    """Every invite, the newest last."""

    def __init__(
        self,
        known: list[Invite] | None = None,
        make_route: Callable[[], RouteName] = new_invite,
    ) -> None:
        self._by_route = {invite.route: invite for invite in known or []}
        self._make_route = make_route

    def create(self, new: host_api.NewInvite, now: float) -> Invite:
        """Make an invite. Raises InviteError for bad values and above MAX_INVITES."""
        name = clean_name(new.name)
        _checked(new, name)
        if len(self.routes(now)) >= MAX_INVITES:
            raise InviteError(f"{MAX_INVITES} invites are open already; revoke some of them first")
        invite = Invite(
            route=self._new_route(),
            secret=new_secret(),
            name=name,
            role=new.role,
            landing=new.landing,
            created_at=now,
            expires_at=None if new.expires_in is None else now + new.expires_in,
            uses=new.uses,
            bind_first_key=new.bind_first_key,
        )
        self._by_route[invite.route] = invite
        return invite

    def get(self, route: str) -> Invite | None:
        return self._by_route.get(RouteName(route))

    def find(self, text: str, now: float) -> list[Invite]:
        """By route (with or without secret), or else by name: those that work, or else those that
        have ended."""
        exact = self.get(split_secret(text)[0])
        if exact is not None:
            return [exact]
        name = clean_name(text)
        called = [invite for invite in self._by_route.values() if invite.name == name]
        return [invite for invite in called if invite.works(now)] or called[-1:]

    def all(self) -> list[Invite]:
        return list(self._by_route.values())

    def routes(self, now: float) -> list[RouteName]:
        """Names that must be published."""
        return [invite.route for invite in self._by_route.values() if invite.works(now)]

    def spend(self, route: RouteName, fingerprint: Fingerprint, now: float) -> bool:
        """Use an invite with this key; False when it no longer lets this key in."""
        invite = self._by_route.get(route)
        if invite is None or invite.problem(fingerprint, now) is not None:
            return False
        if fingerprint not in invite.used_by:
            self._by_route[route] = msgspec.structs.replace(
                invite, used_by=(*invite.used_by, fingerprint)
            )
        return True

    def revoke(self, route: RouteName, now: float) -> Invite | None:
        """End an invite that works; None when it does not exist or has ended already."""
        invite = self._by_route.get(route)
        if invite is None or not invite.works(now):
            return None
        revoked = msgspec.structs.replace(invite, revoked_at=now)
        self._by_route[route] = revoked
        return revoked

    def overhear(self, route: RouteName) -> Invite | None:
        """Somebody said its secret to a relay; None when that is known already."""
        invite = self._by_route.get(route)
        if invite is None or invite.overheard:
            return None
        self._by_route[route] = msgspec.structs.replace(invite, overheard=True)
        return invite

    def delete_ended(self, now: float) -> bool:
        """Forget invites that ended long ago; True when any was."""
        ended = [invite for invite in self._by_route.values() if not invite.works(now)]
        ended.sort(key=_ended_at)
        surplus = max(0, len(ended) - MAX_ENDED)
        old = [i for n, i in enumerate(ended) if n < surplus or now - _ended_at(i) > KEEP_ENDED]
        for invite in old:
            del self._by_route[invite.route]
        return bool(old)

    def _new_route(self) -> RouteName:
        route = self._make_route()
        while route in self._by_route:
            route = self._make_route()
        return route


def _ended_at(invite: Invite) -> float:
    ends = [t for t in (invite.revoked_at, invite.expires_at) if t is not None]
    return min(ends) if ends else invite.created_at


def invite_model(
    invite: Invite, now: float, strings: Mapping[str, str] | None = None
) -> host_api.InviteView:
    """How the host API shows an invite."""
    return host_api.InviteView(
        route=invite.route,
        name=invite.name,
        role=invite.role,
        landing=invite.landing,
        uses_left=invite.uses_left,
        used=len(invite.used_by),
        created_at=invite.created_at,
        expires_at=invite.expires_at,
        bind_first_key=invite.bind_first_key,
        bound_to=invite.bound_to,
        state=invite.state(now),
        strings=dict(strings or {}),
    )
