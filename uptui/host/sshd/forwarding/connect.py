"""Opens sockets for forwards: resolves, races addresses, listens; knows no SSH."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Final

from uptui.core import hostnames
from uptui.core.destinations import MAX_PORT
from uptui.net.resolver import Resolver

RACE_DELAY: Final = 0.25
"""Seconds before the next address is tried beside the one that has not answered (RFC 8305)."""
CONNECT_TIMEOUT: Final = 60.0
BACKLOG: Final = 128
PORT_TRIES: Final = 10
"""Attempts to find one free port number on every address of a name."""
LOOPBACKS: Final = ("127.0.0.1", "::1")
"""What `localhost` is, whatever a name server says (RFC 6761)."""
_NO_SUCH_NAME: Final = frozenset(
    {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
)
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class ClientResolver:
    """Looks names up for one client, without the resolver where an address needs none."""

    def __init__(self, resolver: Resolver, client: Hashable) -> None:
        self._resolver = resolver
        self._client = client

    async def resolve(self, name: str) -> list[str]:
        """Addresses of a name as core.hostnames writes it, best first, at least one.

        Raises socket.gaierror.
        """
        if ":" in name:
            return [name]
        if name == "localhost":
            return list(LOOPBACKS)
        if hostnames.is_numeric(name):
            return [_numeric(name)]
        return await self._resolver.addresses(self._client, name)

    async def known(self, names: Iterable[str]) -> set[str]:
        """Every address of these names; one that does not exist has none.

        Raises socket.gaierror when a name server does not say.
        """
        asked = (self._known(name) for name in names)
        return {address for found in await asyncio.gather(*asked) for address in found}

    async def _known(self, name: str) -> list[str]:
        try:
            return await self.resolve(name)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                return []
            raise


def _numeric(name: str) -> str:
    """The IPv4 address that the system takes a number for, such as 127.1 or 0x7f000001."""
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


async def connect(addresses: Sequence[str], port: int) -> socket.socket:
    """A socket connected to the first address that answers. Raises the first address's OSError."""
    attempts: dict[asyncio.Task[socket.socket], int] = {}
    errors: dict[int, OSError] = {}
    waiting = list(enumerate(addresses))
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            while waiting or attempts:
                if waiting:
                    index, address = waiting.pop(0)
                    attempts[asyncio.ensure_future(_connect_one(address, port))] = index
                done, _ = await asyncio.wait(
                    attempts,
                    timeout=RACE_DELAY if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    index = attempts.pop(task)
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    errors[index] = error
    except TimeoutError:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out") from None
    finally:
        await _abandon(list(attempts))
    raise errors[min(errors)]


async def _abandon(tasks: list[asyncio.Task[socket.socket]]) -> None:
    for task in tasks:
        task.cancel()
    for late in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(late, socket.socket):
            late.close()


async def _connect_one(address: str, port: int) -> socket.socket:
    info = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )
    family, kind, proto, _, target = info[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


async def addresses_to_listen_on(host: str, names: ClientResolver) -> list[str]:
    """`""` and `*` are all addresses, `localhost` both loopbacks. Raises OSError, BadHostError."""
    if host in {"", "*"}:
        return ["0.0.0.0", "::"]  # noqa: S104 - the client asked for every address in words
    return await names.resolve(hostnames.host_name(host))


def listen(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets listening on each of these addresses, all on one port number.

    Addresses that this machine lacks are left out. Raises OSError when the port is taken on any of
    the others, and for a number that no port has: the resolver takes it modulo 65536.
    """
    if not 0 <= port <= MAX_PORT:
        raise OSError(f"there is no port {port}")
    for attempt in range(PORT_TRIES):
        try:
            return _listen_on(addresses, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or attempt == PORT_TRIES - 1:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free")


def _listen_on(addresses: Sequence[str], port: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for address in addresses:
            try:
                sock = _listen_one(address, port)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                missing = error
                continue
            opened.append(sock)
            port = sock.getsockname()[1]
    except OSError:
        for sock in opened:
            sock.close()
        raise
    if not opened:
        raise missing or OSError(errno.EADDRNOTAVAIL, "no address to listen on")
    return opened


def _listen_one(address: str, port: int) -> socket.socket:
    info = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, kind, proto, _, target = info[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_private(sock: socket.socket, path: str) -> None:
    """Bind and listen on a Unix socket that only this user may open.

    Raises OSError when taken, and ValueError for a path with a NUL, where the system would make a
    socket of a shorter name or of none.
    """
    if "\0" in path:
        raise ValueError("a path contains a NUL byte")
    with contextlib.suppress(OSError):  # the file then never has another mode
        os.fchmod(sock.fileno(), 0o600)
    sock.bind(path)
    Path(path).chmod(0o600)
    sock.listen(BACKLOG)
