"""Options of an authorized_keys line (sshd(8)): what they take from its key. Reads no file."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from uptui.core.roles import Capability, Role

_FORWARDS: Final = frozenset({Capability.FORWARD_LOCAL, Capability.FORWARD_REMOTE})
_FLAGS: Final = {
    "port-forwarding": "forwarding",
    "agent-forwarding": "agent",
    "x11-forwarding": "x11",
    "pty": "pty",
}
_WITHOUT_EFFECT: Final = frozenset({"user-rc", "no-user-rc", "environment", "no-touch-required"})
"""There is no ~/.ssh/rc here, variables are not taken from a list of keys (sshd's default), and a
touch is always required."""
_TIME: Final = re.compile(r"(\d{8})(?:(\d{4})(\d{2})?)?(Z?)", re.ASCII)
_OPEN: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(?:\d{1,5}|\*)", re.ASCII)


class KeyOptionError(ValueError):
    """An option that cannot be honoured; the text says which and why."""


@dataclass(frozen=True)
class KeyLimits:
    """The default takes nothing."""

    sources: tuple[str, ...] = ()
    """Patterns of `from=`: addresses that the key may come from; `!` before one shuts it out."""
    until: float | None = None
    """Unix seconds of `expiry-time=`."""
    forwarding: bool = True
    agent: bool = True
    x11: bool = True
    pty: bool = True
    opens: tuple[str, ...] = ()
    """Patterns of `permitopen=`: the only destinations of forwards."""
    command: str | None = None
    """Runs in place of whatever is asked for."""

    def hold(self, address: str, now: float) -> bool:
        """Whether the key may come from this address at this time."""
        if self.until is not None and now >= self.until:
            return False
        return not self.sources or _from(self.sources, address)

    def applied(self, role: Role) -> Role:
        """The role without what is taken."""
        taken = set[Capability]()
        taken |= set() if self.forwarding else _FORWARDS
        taken |= set() if self.agent else {Capability.AGENT}
        if not taken and not self.opens:
            return role
        return replace(role, capabilities=role.capabilities - taken, forward_only=self.opens)


UNLIMITED: Final = KeyLimits()


def limits_of(options: Sequence[tuple[str, str]]) -> KeyLimits:
    """What these options take, read in their order as sshd does. Raises KeyOptionError."""
    limits = UNLIMITED
    seen = set[str]()
    for name, value in options:
        if name in {"command", "from", "expiry-time"} and name in seen:
            raise KeyOptionError(f"option {name!r} is given twice")
        seen.add(name)
        limits = _with(limits, name, value)
    return limits


def _with(limits: KeyLimits, name: str, value: str) -> KeyLimits:
    permit = name.removeprefix("no-")
    if permit in _FLAGS:
        return replace(limits, **{_FLAGS[permit]: permit == name})
    if name == "restrict":
        return replace(limits, **dict.fromkeys(_FLAGS.values(), False))
    if name == "command" and value:
        return replace(limits, command=value)
    if name == "from":
        return replace(limits, sources=_patterns(value))
    if name == "expiry-time":
        return replace(limits, until=_moment(value))
    if name == "permitopen":
        return replace(limits, opens=(*limits.opens, _destination(value)))
    if name in _WITHOUT_EFFECT:
        return limits
    raise KeyOptionError(
        f"option {name!r} is not supported, so the key is not let in: "
        'use uptui-role="..." to limit it'
    )


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip().lower() for part in text.split(","))
    for pattern in patterns:
        if not _usable(pattern.removeprefix("!")):
            raise KeyOptionError("option 'from' has a pattern that is none")
    return patterns


def _usable(pattern: str) -> bool:
    try:
        return bool(pattern) and ("/" not in pattern or bool(ipaddress.ip_network(pattern)))
    except ValueError:
        return False


def _moment(text: str) -> float:
    found = _TIME.fullmatch(text)
    problem = "option 'expiry-time' is not YYYYMMDD or YYYYMMDDHHMM[SS], with Z for UTC"
    if found is None:
        raise KeyOptionError(problem)
    try:
        digits = found[1] + (found[2] or "0000") + (found[3] or "00")
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        if not found[4]:
            moment = moment.replace(tzinfo=None).astimezone()
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        raise KeyOptionError(problem) from None


def _destination(text: str) -> str:
    if _OPEN.fullmatch(text) is None:
        raise KeyOptionError("option 'permitopen' is not HOST:PORT")
    return text


def _from(patterns: Sequence[str], address: str) -> bool:
    """As sshd's match_host_and_ip without names: a pattern that shuts out wins over the others."""
    matched = False
    for pattern in patterns:
        if _matches(pattern.removeprefix("!"), address.lower()):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _matches(pattern: str, address: str) -> bool:
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    if "/" in pattern:
        return number in ipaddress.ip_network(pattern)
    wanted = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wanted, str(number)) is not None
