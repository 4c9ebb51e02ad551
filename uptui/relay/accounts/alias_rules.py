"""What the relay decides about persistent names; plain facts and `now` in, no IO.

An alias belongs to an identity or an account, keeps its direct port, and is pinned to the host key
it was first published with. It stays reserved for `ttl` seconds after its last use.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from uptui.protocol.control import RefusalCode
from uptui.protocol.names import MAX_ALIAS_LENGTH, alias_problem
from uptui.relay.accounts.route_policy import Identity

DEFAULT_TTL: Final = 90 * 86400.0
"""Seconds that an alias stays reserved after its last use."""
MAX_SUGGESTIONS: Final = 3
_SUFFIXES: Final = ("2", "dev", "box", "3", "share", "lab", "4", "5", "6", "7", "8", "9")


@dataclass(frozen=True)
class AliasRecord:
    """An alias as the store keeps it."""

    name: str
    owner: str
    """Fingerprint of an identity, or `account:NAME`."""
    host_key: str | None
    created_at: float
    last_used_at: float
    port: int | None = None

    def expires_at(self, ttl: float) -> float:
        """When others may take it, unless it is used before."""
        return self.last_used_at + ttl


@dataclass(frozen=True)
class Refused:
    """Why a name is not given."""

    code: RefusalCode
    message: str


@dataclass(frozen=True)
class Claimant:
    """Who asks, and how much they already have."""

    owner: str
    aliases: int
    """Aliases owned now."""
    max_aliases: int


def owner_of(identity: Identity) -> str:
    """What owns an identity's aliases: `account:NAME` when it has one, else its fingerprint."""
    return f"account:{identity.account}" if identity.account else identity.fingerprint


def is_free(record: AliasRecord | None, now: float, ttl: float) -> bool:
    """Whether anybody may claim the name."""
    return record is None or now >= record.expires_at(ttl)


def name_refusal(name: str) -> Refused | None:
    """Why nobody can have this name."""
    problem = alias_problem(name)
    if problem is None:
        return None
    return Refused("reserved" if "reserved" in problem else "invalid_name", problem)


def claim_refusal(
    name: str, record: AliasRecord | None, claimant: Claimant, now: float, ttl: float
) -> Refused | None:
    """Why `claimant` may not have `name`, or None when it is theirs or free."""
    refused = name_refusal(name)
    if refused is not None:
        return refused
    if record is not None and record.owner == claimant.owner:
        return None
    if not is_free(record, now, ttl):
        return Refused("taken", f"the alias {name!r} belongs to somebody else")
    if claimant.aliases >= claimant.max_aliases:
        return Refused(
            "quota",
            f"{claimant.aliases} of {claimant.max_aliases} aliases are in use; "
            "release one with `uptui alias release NAME`",
        )
    return None


def host_key_refusal(record: AliasRecord, offered: Iterable[str], rotate: bool) -> Refused | None:
    """Why the host keys offered may not serve this alias.

    A pinned key changes only when its owner says `rotate`, because every client remembers it.
    """
    keys = list(offered)
    if record.host_key is None or rotate or not keys or record.host_key in keys:
        return None
    return Refused(
        "host_key_mismatch",
        f"the alias {record.name!r} is pinned to another host key; if the key was changed on "
        "purpose, its owner says so with `uptui alias rotate-key NAME`",
    )


def key_to_pin(offered: Iterable[str]) -> str | None:
    """The host key that an alias is pinned to: ed25519 when there is one."""
    keys = list(offered)
    ed25519 = [key for key in keys if key.startswith("ssh-ed25519 ")]
    return next(iter(ed25519 or keys), None)


def candidates(wish: str) -> Iterator[str]:
    """Valid names close to `wish`, best first."""
    stem = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9-]+", "-", wish.lower())).strip("-")
    stem = stem[: MAX_ALIAS_LENGTH - 6].strip("-") or "box"
    for name in (stem, *(f"{stem}-{suffix}" for suffix in _SUFFIXES)):
        if name != wish and alias_problem(name) is None:
            yield name


def known_hosts(
    name: str,
    host_key: str | None,
    port: int | None,
    public_host: str,
    relay_keys: Iterable[str] = (),
    ssh_port: int | None = None,
) -> list[str]:
    """Lines for a client's known_hosts: the direct port, the jump target and the relay itself."""
    lines: list[str] = []
    if host_key is not None:
        if port is not None:
            lines.append(f"{_pattern(public_host, port)} {host_key}")
        lines.append(f"{name} {host_key}")
    if ssh_port is not None:
        lines.extend(f"{_pattern(public_host, ssh_port)} {key}" for key in relay_keys)
    return lines


def _pattern(host: str, port: int) -> str:
    return host if port == 22 else f"[{host}]:{port}"
