"""Outgoing TCP connections, tuned for small answers, and through an HTTP proxy's CONNECT."""

import asyncio
import base64
import socket
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from uptui.net.tcp_timeout import bound_retries
from uptui.text import clean

CONNECT_TIMEOUT: Final = 8.0
"""Seconds for one host, all of its addresses together."""
ADDRESS_TIMEOUT: Final = 4.0
"""Seconds for one address, so that a dead one leaves time for the next."""
MAX_PROXY_ANSWER: Final = 16 * 1024


class ResolvedAddress(NamedTuple):
    """One address that a name has led to."""

    family: int
    address: Any
    """As the socket module wants it: IP address and port first."""


def tune(sock: socket.socket) -> None:
    """Send small packets at once, acknowledge at once, notice a dead peer, outlive a black hole."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    bound_retries(sock)


async def resolve(host: str, port: int) -> tuple[ResolvedAddress, ...]:
    """The addresses behind a name. Raises OSError, also for what no name is."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (UnicodeError, OverflowError) as error:  # labels that IDNA refuses, huge ports
        raise OSError(f"{host[:80]!r} is no host name") from error
    return tuple(ResolvedAddress(int(family), address) for family, _, _, _, address in found)


async def connect(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket to the first address that answers. Raises OSError."""
    where = f"{host} port {port}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await connect_to(await resolve(host, port), where)
    except TimeoutError as error:
        raise TimeoutError(f"{where}: no answer within {CONNECT_TIMEOUT:g} s") from error


async def connect_to(found: Sequence[ResolvedAddress], where: str) -> socket.socket:
    """A connected, non-blocking socket to the first of these that answers. Raises OSError."""
    loop = asyncio.get_running_loop()
    problem: OSError | None = None
    for family, address in found:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(ADDRESS_TIMEOUT):
                await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            tune(sock)
            return sock
    if isinstance(problem, TimeoutError):
        raise TimeoutError(f"{where}: no answer") from problem
    raise problem or OSError(f"{where} has no address")


async def tunnel(proxy: str, host: str, port: int) -> socket.socket:
    """A connection to `host` through an HTTP proxy. Raises OSError with the proxy's word."""
    parts = urlsplit(proxy)
    sock = await connect(parts.hostname or "", parts.port or 3128)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if parts.username is not None:
        plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(plain.encode()).decode()}\r\n"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await asyncio.get_running_loop().sock_sendall(sock, f"{head}\r\n".encode())
            status = await _answer(sock)
    except BaseException:
        sock.close()
        raise
    if not status.startswith(("HTTP/1.1 2", "HTTP/1.0 2")):
        sock.close()
        raise ConnectionRefusedError(f"the proxy {parts.hostname} says: {clean(status)}")
    return sock


async def _answer(sock: socket.socket) -> str:
    """The status line; reads byte-wise to the end of the head, for what follows is not ours."""
    loop = asyncio.get_running_loop()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = await loop.sock_recv(sock, 1)
        if not byte or len(head) > MAX_PROXY_ANSWER:
            raise ConnectionResetError("the proxy ended the connection without an answer")
        head += byte
    return head.split(b"\r\n", 1)[0].decode("latin-1")
