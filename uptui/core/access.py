"""Decides who gets in: facts in, an Admit, Ask or Refuse out. Keeps nothing and knows no clock."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from uptui.core.invites import Invite
from uptui.core.keys import AuthorizedKey
from uptui.core.people import Person
from uptui.core.roles import Capability, Role
from uptui.core.text import clean_name
from uptui.protocol.host_api import UnknownPolicy
from uptui.protocol.names import ClientId, Fingerprint, RouteName, Way, is_invite, is_token


@dataclass(frozen=True)
class Arrival:
    """A client that has shown a key and not yet been let in. `user` and `program` are untrusted."""

    client_id: ClientId
    way: Way
    route: RouteName
    user: str
    key: str
    """OpenSSH public key without comment."""
    fingerprint: Fingerprint
    vouched: bool
    """True when only the relay has checked the key (plain way)."""
    address: str
    port: int
    program: str
    wants: str = ""
    """First thing asked for, in words, when already known."""


@dataclass(frozen=True)
class Landing:
    """What a shell request gets."""

    kind: Literal["shell", "shared", "command"] = "shell"
    command: str = ""


@dataclass(frozen=True)
class Grant:
    """The answer to an Arrival, replaced live when the role changes."""

    name: str
    """What the host calls this client."""
    role: Role
    landing: Landing = field(default_factory=Landing)
    reason: str = ""
    """Why they are in, in words."""


@dataclass(frozen=True)
class Visit:
    """What the host decided about a key earlier, for its further connections."""

    grant: Grant
    override: bool = False
    """True: it replaces the role that the key would have by being known or by an invite."""
    admits: bool = True
    """Whether the key gets in by it, and not only with something else that lets it in."""


@dataclass(frozen=True)
class Facts:
    """All that a decision depends on."""

    token: RouteName
    alias: str | None
    unknown: UnknownPolicy
    locked: bool
    e2e_only: bool
    default_role: str
    default_landing: Landing
    roles: Mapping[str, Role]
    invite: Invite | None = None
    """The invite that the arrival named, if we ever made it."""
    invite_problem: str | None = None
    """Why that invite does not let this key in, in words for the client."""
    person: Person | None = None
    authorized: AuthorizedKey | None = None
    visit: Visit | None = None


@dataclass(frozen=True)
class Admit:
    """Let in, now."""

    grant: Grant
    spend: Invite | None = None
    """The invite that this admission uses."""


@dataclass(frozen=True)
class Ask:
    """A person must decide; `role` is what a plain approve gives."""

    name: str
    role: str
    landing: Landing


@dataclass(frozen=True)
class Refuse:
    """No. `message` is written for the client; `quiet` lets it try its next key instead."""

    message: str
    why: str
    """One word or two for the record."""
    quiet: bool = False


Decision = Admit | Ask | Refuse

ROTATED = (
    "This address is no longer valid: it was rotated or has expired. "
    "Ask whoever shares this machine for the current one."
)
LOCKED = "This share is locked: nobody new may join at the moment."
E2E_ONLY = (
    "This share takes only end-to-end encrypted connections: "
    "use the direct port or 'ssh -J' instead of the relay's own SSH login."
)
BLOCKED = "Your key may not join this share."
NOT_KNOWN = "Your key is not known here, and this share does not ask about unknown keys."
NO_NAME = "To join, give the share's name as the user name: ssh NAME@..."


def grant(name: str, role: Role, landing: Landing, reason: str) -> Grant:
    """A grant whose landing the role can use: without own shells it is the shared terminal."""
    if landing.kind == "shell" and not role.can(Capability.SHELL):
        landing = Landing("shared")
    return Grant(name, role, landing, reason)


def same_secret(left: str, right: str) -> bool:
    """Whether two names are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def named_invite(arrival: Arrival) -> RouteName | None:
    """The invite that an arrival uses: its user name on every way, or the route it came by."""
    if is_invite(arrival.user):
        return RouteName(arrival.user)
    return arrival.route if is_invite(arrival.route) else None


def _is_current(name: str, facts: Facts) -> bool:
    return same_secret(name, facts.token) or (facts.alias is not None and name == facts.alias)


def _stale(arrival: Arrival, facts: Facts) -> bool:
    """Whether the user name or the route is a token that is not the current one."""
    names: Iterable[str] = (arrival.user, arrival.route)
    return any(is_token(name) and not same_secret(name, facts.token) for name in names)


def _called(arrival: Arrival, facts: Facts) -> str:
    """The best guess of who this is."""
    if facts.person is not None and facts.person.name:
        return facts.person.name
    if facts.authorized is not None and facts.authorized.name:
        return facts.authorized.name
    user = clean_name(arrival.user)
    return user if user and not is_token(user) and user != facts.alias else "somebody"


def _by_invite(invite: Invite, facts: Facts, landing: Landing) -> Decision:
    if facts.invite_problem is not None:
        return Refuse(facts.invite_problem, "invite")
    role = facts.roles.get(invite.role)
    if role is None:
        return Refuse(
            f"This invite gives the role {invite.role!r}, which does not exist here any more. "
            "Ask whoever sent it for another.",
            "role gone",
        )
    return Admit(grant(invite.name, role, landing, f"invite {invite.name}"), invite)


def _by_key(arrival: Arrival, facts: Facts) -> Admit | None:
    """What a known key gets; a role that no longer exists makes the key unknown."""
    listed = (facts.authorized.role if facts.authorized else "") or facts.default_role
    if facts.person is not None and facts.person.role in facts.roles:
        role, why = facts.roles[facts.person.role], f"known ({facts.person.source})"
    elif facts.authorized is not None and listed in facts.roles:
        role, why = facts.roles[listed], facts.authorized.source
    elif facts.visit is not None and facts.visit.admits:
        return Admit(facts.visit.grant)
    else:
        return None
    return Admit(grant(_called(arrival, facts), role, facts.default_landing, why))


def _unknown(arrival: Arrival, facts: Facts) -> Decision:
    if facts.unknown == "deny":
        return Refuse(NOT_KNOWN, "unknown key", quiet=True)
    name = _called(arrival, facts)
    if facts.unknown == "ask":
        return Ask(name, facts.default_role, facts.default_landing)
    said = arrival.user if arrival.way == "port" else arrival.route
    if not (_is_current(said, facts) or _is_current(arrival.user, facts)):
        return Refuse(NO_NAME, "no name given")
    role = facts.roles[facts.default_role]
    return Admit(grant(name, role, facts.default_landing, "everybody is accepted"))


def _closed(arrival: Arrival, facts: Facts) -> Refuse | None:
    """The refusals that no role and no invite can lift."""
    if facts.person is not None and facts.person.blocked:
        return Refuse(BLOCKED, "blocked", quiet=True)
    if facts.e2e_only and arrival.way == "plain":
        return Refuse(E2E_ONLY, "end-to-end only")
    if _stale(arrival, facts) or (named_invite(arrival) is not None and facts.invite is None):
        return Refuse(ROTATED, "old address")
    if facts.locked:
        return Refuse(LOCKED, "locked")
    return None


def decide(arrival: Arrival, facts: Facts) -> Decision:
    """Whether this client gets in, and as what."""
    closed = _closed(arrival, facts)
    if closed is not None:
        return closed
    if facts.invite is not None:
        decision = _by_invite(facts.invite, facts, landing_of(facts.invite.landing))
    else:
        decision = _by_key(arrival, facts) or _unknown(arrival, facts)
    if isinstance(decision, Admit) and facts.visit is not None and facts.visit.override:
        return replace(decision, grant=facts.visit.grant)
    return decision


def landing_of(text: str) -> Landing:
    """The landing written as "shell", "shared" or "command: ..." (see protocol.host_api.Invite).

    Raises ValueError for anything else.
    """
    if text in {"shell", ""}:
        return Landing()
    if text == "shared":
        return Landing("shared")
    kind, colon, command = text.partition(":")
    if kind.strip() == "command" and colon and command.strip():
        return Landing("command", command.strip())
    raise ValueError(f"a landing is 'shell', 'shared' or 'command: ...', not {text!r}")


def landing_text(landing: Landing) -> str:
    """The opposite of landing_of()."""
    return f"command: {landing.command}" if landing.kind == "command" else landing.kind
