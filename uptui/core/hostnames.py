"""What a client may call a host: names and addresses in one notation; resolves nothing.

Resolvers are generous: they stop at a NUL byte, take decimal, octal and shortened addresses, and
map full-width letters. Whatever is compared with a list must be what will be looked up, so the
name is brought into its final form first and only that form is used afterwards.
"""

import ipaddress
import re
from typing import Final

import idna

MAX_NAME: Final = 253
"""Characters of a host name, as in DNS."""
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ZONE: Final = re.compile(r"[A-Za-z0-9._-]{1,15}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadHostError(ValueError):
    """No host is called this."""


def host_name(text: str) -> str:
    """A name (ASCII, lower case, no dot at its end) or an address as `ipaddress` writes it.

    A last label that is a number makes it a short or odd notation of an IPv4 address, which is
    left as it is: see `is_numeric`. Raises BadHostError.
    """
    if len(text) > MAX_NAME + 2:
        raise BadHostError("longer than any host name")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        return _ipv6(bare)
    name = _mapped(bare).removesuffix(".")
    if len(name) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadHostError("not a host name")
    return name


def is_numeric(name: str) -> bool:
    """Whether a result of `host_name` is an address in some notation, not a name to look up."""
    return ":" in name or _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def address_of(text: str) -> Address | None:
    """The address that the kernel will take for this one: without zone, unmapped to IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _ipv6(text: str) -> str:
    """An address, with its zone when it has one."""
    bare, percent, zone = text.partition("%")
    try:
        address = ipaddress.IPv6Address(bare)
    except ValueError:
        raise BadHostError("not an IPv6 address") from None
    if not percent:
        return str(address)
    if not address.is_link_local or not _ZONE.fullmatch(zone):
        raise BadHostError("a zone belongs to link-local addresses only")
    return f"{address}%{zone}"


def _mapped(text: str) -> str:
    """UTS 46: lower case, compatibility forms as what they stand for, then Punycode."""
    if text.isascii():
        return text.lower()
    try:
        labels = idna.uts46_remap(text, std3_rules=False, transitional=False).split(".")
        return ".".join(_ascii(label) for label in labels)
    except (idna.IDNAError, UnicodeError) as error:
        raise BadHostError("not a host name") from error


def _ascii(label: str) -> str:
    return label.lower() if label.isascii() else idna.alabel(label).decode("ascii")
