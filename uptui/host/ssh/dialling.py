"""Opens sockets for forwards: resolves, races addresses, listens; knows no SSH."""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

RACE_DELAY: Final = 0.25
"""Seconds before the next address is tried beside the one that has not answered (RFC 8305)."""
CONNECT_TIMEOUT: Final = 60.0
BACKLOG: Final = 128
PORT_TRIES: Final = 10
"""Attempts to find one free port number on every address of a name."""
_LOOPBACKS: Final = ("127.0.0.1", "::1")
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


async def resolve(host: str) -> list[str]:
    """Addresses of `host`, best first, at least one. Raises socket.gaierror."""
    bare = host.strip("[]")
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(bare.partition("%")[0])
        return [bare]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if bare.lower().rstrip(".") == "localhost":
        addresses += [a for a in _LOOPBACKS if a not in addresses]
    return addresses


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


async def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets listening on every address of `host`, all on one port number.

    `""` and `*` are all addresses, `localhost` both loopbacks; addresses that this machine lacks
    are left out. Raises OSError when the port is taken on any of them.
    """
    addresses = await _bindable(host)
    for attempt in range(PORT_TRIES):
        try:
            return _listen_on(addresses, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE or attempt == PORT_TRIES - 1:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free")


async def _bindable(host: str) -> list[str]:
    if host in {"", "*"}:
        return ["0.0.0.0", "::"]  # noqa: S104 - the client asked for every address in words
    if host.lower() == "localhost":
        return list(_LOOPBACKS)
    return await resolve(host)


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
    """Bind and listen on a Unix socket that only this user may open. Raises OSError when taken."""
    sock.bind(path)
    Path(path).chmod(0o600)
    sock.listen(BACKLOG)
