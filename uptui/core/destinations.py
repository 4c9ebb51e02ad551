"""Which destinations a role may be forwarded to: matches `host:port` patterns, resolves nothing.

A pattern is `host:port`: host with fnmatch wildcards or an address range (`10.0.0.0/8`), IPv6 in
brackets or bare; port a number, `a-b`, `*`, or left out for any. A pattern that starts with `/`
matches Unix socket paths. A pattern that is written as an address matches addresses only, one that
is written as a name the name asked for. What is decided about is one address that will be
connected to, so a name cannot hide it; what is denied by a plain name is denied by each of the
addresses of that name, too, which the caller looks up (`denied_names`).
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from uptui.core.hostnames import Address, BadHostError, address_of, host_name, is_numeric
from uptui.core.roles import Role

MAX_PORT: Final = 65535
_WILDCARD: Final = frozenset("*?[]")
_IPV4: Final = re.compile(r"[0-9.*?!\[\]-]*[0-9][0-9.*?!\[\]-]*")
_ANY: Final = re.compile(r"[.*?]+")


@dataclass(frozen=True)
class Destination:
    """One address of what a client asked for. `name` is as core.hostnames writes it."""

    name: str
    port: int
    address: str


def may_reach(role: Role, to: Destination, denied: Iterable[str] = ()) -> bool:
    """Whether `role` may connect there; `denied` are the addresses of what it denies by name."""
    address = address_of(to.address)
    if address is None or address in {address_of(one) for one in denied}:
        return False
    named = set[str]() if is_numeric(to.name) else {to.name}
    numbers = _notations(address)
    if "localhost" in numbers:
        numbers.discard("localhost")
        named.add("localhost")
    return _decide(role, lambda pattern: _matches(pattern, named, numbers, address, to.port))


def may_reach_path(role: Role, path: str) -> bool:
    """Whether `role` may connect to the Unix socket `path` (give a resolved path)."""
    return _decide(role, lambda p: p.startswith("/") and fnmatchcase(path, p))


def denied_names(role: Role, port: int) -> list[str]:
    """The names that `role` may not reach on this port by any address."""
    found = list[str]()
    for pattern in role.forward_deny:
        host, ports = _split(pattern)
        allowed = _port_range(ports)
        if pattern.startswith("/") or allowed is None or port not in allowed:
            continue
        name = _pattern_host(host)
        if name and not _WILDCARD & set(name) and not _numeric(name):
            found.append(name)
    return found


def valid_pattern(pattern: str) -> bool:
    """Whether a pattern can match at all: for checking configuration."""
    if pattern.startswith("/"):
        return True
    host, ports = _split(pattern)
    return bool(_pattern_host(host)) and _port_range(ports) is not None


def _decide(role: Role, matches: Callable[[str], bool]) -> bool:
    if any(matches(pattern) for pattern in role.forward_deny):
        return False
    if role.forward_only and not any(matches(pattern) for pattern in role.forward_only):
        return False
    return not role.forward_allow or any(matches(pattern) for pattern in role.forward_allow)


def _notations(address: Address) -> set[str]:
    """An address as patterns may write it, and as what it is reached by."""
    found = {str(address)}
    if address.version == 4:
        found.add(f"::ffff:{address}")
    if address.is_unspecified:
        found.add("127.0.0.1" if address.version == 4 else "::1")
    if address.is_loopback or address.is_unspecified:
        found.add("localhost")
    return found


def _split(pattern: str) -> tuple[str, str]:
    """Host and port part; a bare IPv6 address or a host alone has no port part."""
    pattern = pattern.lower()
    if pattern.startswith("["):
        host, _, rest = pattern[1:].partition("]")
        return host, rest.removeprefix(":") or "*"
    if pattern.count(":") == 1:
        host, _, ports = pattern.partition(":")
        return host, ports or "*"
    return pattern, "*"


def _port_range(ports: str) -> range | None:
    if ports == "*":
        return range(MAX_PORT + 1)
    low, dash, high = ports.partition("-")
    if not (low.isdecimal() and low.isascii()) or (dash and not high.isdecimal()):
        return None
    if len(low) > len(str(MAX_PORT)) or len(high) > len(str(MAX_PORT)):
        return None
    return range(int(low), int(high if dash else low) + 1)


def _pattern_host(host: str) -> str:
    """The host of a pattern in the notation it is compared in; empty when it can match nothing."""
    if _network(host) is not None or _numeric(host) or _ANY.fullmatch(host):
        address = address_of(host)
        return host if address is None else str(address)
    labels = list[str]()
    for label in host.rstrip(".").split("."):
        try:
            labels.append(label if _WILDCARD & set(label) else host_name(label))
        except BadHostError:
            return ""
    return ".".join(labels)


def _numeric(host: str) -> bool:
    """Whether a pattern is written as an address: digits and dots, or colons, and wildcards."""
    return ":" in host or "/" in host or _IPV4.fullmatch(host) is not None


def _network(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if "/" not in host:
        return None
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None


def _matches(
    pattern: str, named: Iterable[str], numbers: Iterable[str], address: Address, port: int
) -> bool:
    if pattern.startswith("/"):
        return False
    written, ports = _split(pattern)
    allowed = _port_range(ports)
    if allowed is None or port not in allowed:
        return False
    host = _pattern_host(written)
    network = _network(host)
    if network is not None:
        return address.version == network.version and address in network
    if _numeric(host):
        return any(fnmatchcase(number, host) for number in numbers)
    if _ANY.fullmatch(host):
        return any(fnmatchcase(one, host) for one in (*named, *numbers))
    return any(fnmatchcase(name, host) for name in named)
