"""The PROXY protocol's two headers, parsed: who really connected; pure, no IO.

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from uptui.errors import ProtocolError

V1: Final = b"PROXY "
V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1: Final = 107
"""Bytes of the longest line of version 1, with its end."""
MAX_V2: Final = 2048
"""Bytes of a version 2 header taken here, extensions included; they are ignored."""
_FIXED: Final = 16
_VERSION: Final = 2
_LOCAL, _PROXY = 0, 1
_IPV4, _IPV6 = 1, 2


@dataclass(frozen=True)
class ProxyHeader:
    """A complete header."""

    size: int
    """Bytes that it takes at the start of the connection."""
    source: tuple[str, int] | None
    """Address and port of the client; None where the proxy speaks for itself."""


@dataclass(frozen=True)
class Unfinished:
    """The start of a header."""

    wanted: int
    """Bytes from the start that are needed to go on."""


def parse(data: bytes) -> ProxyHeader | Unfinished | None:
    """The header at the start of `data`; None when the connection does not begin with one.

    Raises ProtocolError for a header that is malformed.
    """
    for signature, read in ((V1, _version_1), (V2, _version_2)):
        if data.startswith(signature):
            return read(data)
        if signature.startswith(data):
            return Unfinished(len(data) + 1)
    return None


def _version_1(data: bytes) -> ProxyHeader | Unfinished:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise ProtocolError("a PROXY line is too long")
        return Unfinished(len(data) + 1)
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise ProtocolError("a PROXY line is not ASCII") from error
    if words[1] == "UNKNOWN":
        return ProxyHeader(end + 2, None)
    families = {"TCP4": 4, "TCP6": 6}
    if len(words) != 6 or words[1] not in families:
        raise ProtocolError("a PROXY line has not the six fields of TCP4 or TCP6")
    _, family, source, destination, source_port, destination_port = words
    address = _address(source, families[family])
    _address(destination, families[family])
    _port(destination_port)
    return ProxyHeader(end + 2, (address, _port(source_port)))


def _version_2(data: bytes) -> ProxyHeader | Unfinished:
    if len(data) < _FIXED:
        return Unfinished(_FIXED)
    version, family, length = struct.unpack_from(">BBH", data, len(V2))
    size = _FIXED + length
    command = version & 0xF
    if version >> 4 != _VERSION or command not in {_LOCAL, _PROXY}:
        raise ProtocolError("a PROXY header of an unknown version or command")
    if size > MAX_V2:
        raise ProtocolError("a PROXY header is too long")
    if len(data) < size:
        return Unfinished(size)
    if command == _LOCAL:
        return ProxyHeader(size, None)
    return ProxyHeader(size, _source(family, data[_FIXED:size]))


def _source(family: int, body: bytes) -> tuple[str, int] | None:
    lengths = {_IPV4: 4, _IPV6: 16}
    width = lengths.get(family >> 4)
    if width is None:
        return None
    if len(body) < 2 * width + 4:
        raise ProtocolError("a PROXY header is too short for its addresses")
    (port,) = struct.unpack_from(">H", body, 2 * width)
    return _plain(ipaddress.ip_address(body[:width])), port


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ProtocolError("a PROXY line names no address") from error
    if address.version != version:
        raise ProtocolError("a PROXY line names an address of the other family")
    return _plain(address)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        raise ProtocolError("a PROXY line names no port")
    return int(text)
