"""Which destinations a role may be forwarded to: matches `host:port` patterns, resolves nothing.

A pattern is `host:port`: host with fnmatch wildcards (IPv6 in brackets or bare), port a number,
`a-b`, `*`, or left out for any. A pattern that starts with `/` matches Unix socket paths. Names and
the addresses they resolve to are both looked at, so that a name cannot hide a denied address.
"""

import ipaddress
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from uptui.core.roles import Role


def may_reach(role: Role, host: str, port: int, address: str | None = None) -> bool:
    """Whether `role` may connect to `host`, here resolved to `address` when that is known."""
    names = _names(host) | (_names(address) if address else set[str]())
    return _decide(role, lambda pattern: _matches(pattern, names, port))


def may_reach_path(role: Role, path: str) -> bool:
    """Whether `role` may connect to the Unix socket `path` (give a resolved path)."""
    return _decide(role, lambda p: p.startswith("/") and fnmatchcase(path, p))


def valid_pattern(pattern: str) -> bool:
    """Whether a pattern can match at all: for checking configuration."""
    if pattern.startswith("/"):
        return True
    host, ports = _split(pattern)
    return bool(host) and _port_range(ports) is not None


def _decide(role: Role, matches: Callable[[str], bool]) -> bool:
    if any(matches(pattern) for pattern in role.forward_deny):
        return False
    return not role.forward_allow or any(matches(pattern) for pattern in role.forward_allow)


def _names(host: str) -> set[str]:
    """The host as given and in every notation that leads to the same address."""
    host = host.lower().rstrip(".").strip("[]")
    names = {host}
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return names
    names.add(str(address))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
        names.add(str(address))
    if address.is_unspecified:
        names.add("127.0.0.1" if address.version == 4 else "::1")
    if address.is_loopback or address.is_unspecified:
        names.add("localhost")
    return names


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
        return range(65536)
    low, dash, high = ports.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        return None
    return range(int(low), int(high if dash else low) + 1)


def _matches(pattern: str, names: Iterable[str], port: int) -> bool:
    if pattern.startswith("/"):
        return False
    host, ports = _split(pattern)
    allowed = _port_range(ports)
    if allowed is None or port not in allowed:
        return False
    return any(fnmatchcase(name, host) for name in names)
