"""Decides who gets in: facts in, an Admit, Ask or Refuse out. Keeps nothing and knows no clock.

A relay knows, or makes up, everything of an Arrival but the user name, and on the plain way that
too. So a route never admits; a secret in the user name does, on the ways that end here.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from uptui.core.invites import Invite
from uptui.core.keyoptions import UNLIMITED, KeyLimits
from uptui.core.keys import AuthorizedKey
from uptui.core.people import Person
from uptui.core.roles import Capability, Role
from uptui.protocol.host_api import UnknownPolicy
from uptui.protocol.names import (
    ClientId,
    Fingerprint,
    RouteName,
    Way,
    is_invite,
    is_token,
    split_secret,
)
from uptui.text import clean_name

NAMELESS = "somebody"
"""What whoever says no name of their own is called."""


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
    limits: KeyLimits = UNLIMITED
    """What the line that lists the key takes from it, whatever lets it in."""

    def in_effect(self) -> "Grant":
        """With the limits applied to role and landing: what a connection goes by."""
        limits = self.limits
        if limits == UNLIMITED:
            return self
        forced = limits.command is not None
        landing = Landing("command", limits.command or "") if forced else self.landing
        return replace(self, role=limits.applied(self.role), landing=landing)


@dataclass(frozen=True)
class Approval:
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
    secret: str
    """What lets unknown keys in, behind the token or the alias, where they are accepted."""
    alias: str | None
    unknown: UnknownPolicy
    locked: bool
    e2e_only: bool
    default_role: str
    default_landing: Landing
    roles: Mapping[str, Role]
    invite: Invite | None = None
    """The invite whose secret the arrival said."""
    invite_problem: str | None = None
    """Why that invite does not let this key in, in words for the client."""
    person: Person | None = None
    authorized: AuthorizedKey | None = None
    approval: Approval | None = None
    plain_invites: bool = False
    """Whether secrets are taken on the plain way, where the relay reads them."""
    overheard: bool = False
    """Whether `secret` was said there and not taken: it lets nobody in without asking."""
    command: str = ""
    """An end-to-end command that does the same as what the arrival tried, if there is one."""


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
    overheard: bool = False
    """The right secret was said where the relay reads it."""
    unknown: bool = False
    """Another key would not be refused for this."""


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
HALF = (
    "This is only half of an invite. Use the whole string that you were sent: "
    "ssh inv-PUBLIC-SECRET@..., with -J inv-PUBLIC-SECRET@inv-PUBLIC."
)
HALF_ADDRESS = (
    "To join, use the whole string that you were given: "
    "its user name is NAME-SECRET, and the name alone lets nobody in."
)
ON_PLAIN = (
    "The relay can read what is said here, so invites are not taken. "
    "Connect end to end with the same user name: "
)
SOME_COMMAND = "use the direct port, or 'ssh -J'."


def grant(name: str, role: Role, landing: Landing, reason: str) -> Grant:
    """A grant whose landing the role can use: without own shells it is the shared terminal."""
    if landing.kind == "shell" and not role.can(Capability.SHELL):
        landing = Landing("shared")
    return Grant(name, role, landing, reason)


def same_secret(left: str, right: str) -> bool:
    """Whether two names are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def said_invite(arrival: Arrival) -> tuple[RouteName, str] | None:
    """The public and the secret half of the invite that the user name says."""
    name, secret = split_secret(arrival.user)
    return (name, secret) if secret and is_invite(name) else None


def _is_name(name: str, facts: Facts) -> bool:
    return same_secret(name, facts.token) or (facts.alias is not None and name == facts.alias)


def _says_secret(arrival: Arrival, facts: Facts) -> bool:
    """Whether the user name has what lets unknown keys in where they are accepted."""
    name, secret = split_secret(arrival.user)
    return same_secret(secret, facts.secret) and bool(secret) and _is_name(name, facts)


def _stale(arrival: Arrival, facts: Facts) -> bool:
    """Whether the user name or the route has a token that is not the current one, or says an
    invite that we never made."""
    names = (split_secret(arrival.user)[0], arrival.route)
    if any(is_token(name) and not same_secret(name, facts.token) for name in names):
        return True
    return said_invite(arrival) is not None and facts.invite is None


def _half(arrival: Arrival) -> bool:
    """Whether an invite is named without its secret."""
    return said_invite(arrival) is None and (is_invite(arrival.user) or is_invite(arrival.route))


def _called(arrival: Arrival, facts: Facts) -> str:
    """The best guess of who this is."""
    if facts.person is not None and facts.person.name:
        return facts.person.name
    if facts.authorized is not None and facts.authorized.name:
        return facts.authorized.name
    name, secret = split_secret(arrival.user)
    user = clean_name(name)
    return user if user and not (secret or is_token(user) or user == facts.alias) else NAMELESS


def _by_invite(arrival: Arrival, invite: Invite, facts: Facts) -> Decision:
    landing = landing_of(invite.landing)
    if facts.invite_problem is not None:
        return Refuse(facts.invite_problem, "invite")
    role = facts.roles.get(invite.role)
    if role is None:
        return Refuse(
            f"This invite gives the role {invite.role!r}, which does not exist here any more. "
            "Ask whoever sent it for another.",
            "role gone",
        )
    if invite.overheard and arrival.fingerprint not in invite.used_by:
        return _by_key(arrival, facts) or Ask(invite.name, role.name, landing)
    return Admit(grant(invite.name, role, landing, f"invite {invite.name}"), invite)


def _by_key(arrival: Arrival, facts: Facts) -> Admit | None:
    """What a known key gets; a role that no longer exists makes the key unknown."""
    listed = (facts.authorized.role if facts.authorized else "") or facts.default_role
    if facts.person is not None and facts.person.role in facts.roles:
        role, why = facts.roles[facts.person.role], f"known ({facts.person.source})"
    elif facts.authorized is not None and listed in facts.roles:
        role, why = facts.roles[listed], facts.authorized.source
    elif facts.approval is not None and facts.approval.admits:
        return Admit(facts.approval.grant)
    else:
        return None
    return Admit(grant(_called(arrival, facts), role, facts.default_landing, why))


def _unknown(arrival: Arrival, facts: Facts) -> Decision:
    if _half(arrival):
        return Refuse(HALF, "half an invite", unknown=True)
    if facts.unknown == "deny":
        return Refuse(NOT_KNOWN, "unknown key", quiet=True)
    name = _called(arrival, facts)
    if facts.unknown == "ask":
        return Ask(name, facts.default_role, facts.default_landing)
    if not _says_secret(arrival, facts):
        return Refuse(HALF_ADDRESS, "no secret said", unknown=True)
    if facts.overheard:
        return Ask(name, facts.default_role, facts.default_landing)
    role = facts.roles[facts.default_role]
    return Admit(grant(name, role, facts.default_landing, "everybody is accepted"))


def _not_plain(arrival: Arrival, facts: Facts) -> Refuse | None:
    """Why this must come end to end."""
    said = facts.invite is not None or _says_secret(arrival, facts)
    if facts.e2e_only:
        return Refuse(E2E_ONLY, "end-to-end only", overheard=said)
    if said and not facts.plain_invites:
        return Refuse(ON_PLAIN + (facts.command or SOME_COMMAND), "secret on plain", overheard=True)
    return None


def _closed(arrival: Arrival, facts: Facts) -> Refuse | None:
    """The refusals that no role and no invite can lift."""
    if facts.person is not None and facts.person.blocked:
        return Refuse(BLOCKED, "blocked", quiet=True)
    if arrival.way == "plain" and (e2e := _not_plain(arrival, facts)) is not None:
        return e2e
    if _stale(arrival, facts):
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
        decision = _by_invite(arrival, facts.invite, facts)
    else:
        decision = _by_key(arrival, facts) or _unknown(arrival, facts)
    if not isinstance(decision, Admit):
        return decision
    given = decision.grant
    if facts.approval is not None and facts.approval.override:
        given = facts.approval.grant
    limits = UNLIMITED if facts.authorized is None else facts.authorized.limits
    return replace(decision, grant=replace(given, limits=limits))


def another_may_do(decision: Decision) -> bool:
    """Whether the client had better show another key, if it has one that is known."""
    return isinstance(decision, Ask) or (isinstance(decision, Refuse) and decision.unknown)


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
