"""Whom a connection counts for: the one place that turns an address into a source."""

from ipaddress import IPv6Address, ip_address
from typing import Final

LOCAL: Final = "local"
"""The source of what has no address: a Unix socket, a name, nothing."""


def source_of(address: str | None) -> str:
    """An IPv4 address, or an IPv6 /64, which one customer has whole; else "local"."""
    if not address:
        return LOCAL
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return LOCAL
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)
