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


def nearness(address: str) -> Nearness | None:
    """None for what is no IP address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return "loopback"
    near = any(found.version == net.version and found in net for net in _PRIVATE)
    return "private" if near else "public"
