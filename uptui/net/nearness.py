"""How far away an address is: this machine, a private network, or the open internet."""

import ipaddress
from typing import Final, Literal

Nearness = Literal["loopback", "private", "public"]
_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC 1918
        "169.254.0.0/16", "fe80::/10",  # link-local
        "fc00::/7",  # unique local, RFC 4193
    )
)  # fmt: skip


_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_DISTANCE: Final[dict[Nearness, int]] = {"loopback": 0, "private": 1, "public": 2}


def is_nearer(one: Nearness, other: Nearness) -> bool:
    """Whether `one` is closer to this machine than `other`."""
    return _DISTANCE[one] < _DISTANCE[other]


def _within(found: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that this one stands for, where it does (mapped, NAT64)."""
    if found.ipv4_mapped is not None:
        return found.ipv4_mapped
    if found in _TRANSLATED:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def nearness(address: str) -> Nearness | None:
    """None for what is no IP address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        found = _within(found)
    if found.is_loopback or found.is_unspecified:  # the latter leads to this machine, too
        return "loopback"
    near = any(found.version == net.version and found in net for net in _PRIVATE)
    return "private" if near else "public"
