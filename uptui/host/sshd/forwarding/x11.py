"""X11 forwarding as sshd does it: a display on loopback per session, its cookie given to xauth."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import asyncssh

from uptui.core.roles import Capability, Role
from uptui.errors import RefusedError
from uptui.host.sshd.client import Connection
from uptui.host.sshd.forwarding import connect
from uptui.host.sshd.forwarding.bridge import Bridge
from uptui.host.sshd.forwarding.forwarded import ForwardedConnection, ForwardedConnections
from uptui.host.sshd.forwarding.forwards import Transport
from uptui.host.sshd.forwarding.listeners import ForwardListener
from uptui.host.sshd.sessions.environment import Environment

BASE_PORT: Final = 6000
FIRST_DISPLAY: Final = 10
LAST_DISPLAY: Final = 1000
"""Displays tried, as in sshd (X11DisplayOffset and its upper bound)."""
XAUTH_TIMEOUT: Final = 10.0
MAX_COOKIE: Final = 256
"""Bytes of a cookie that is taken."""


@dataclass
class _Display:
    number: int
    listener: ForwardListener


class X11:
    """The displays of one connection."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport
        self._connections = ForwardedConnections(connection)
        self._displays: dict[object, _Display] = {}

    async def start(self, channel: object, protocol: bytes, data: bytes, screen: int) -> str | None:
        """The DISPLAY for the session on `channel`; None without xauth, permission or a port."""
        xauth = shutil.which("xauth")
        try:
            self._connection.check(Capability.FORWARD_REMOTE)
        except RefusedError:
            return None
        name = protocol.decode("ascii", "replace")
        if xauth is None or not name.replace("-", "").isalnum() or len(data) > MAX_COOKIE:
            return None
        display = await self._listen()
        if display is None:
            return None
        entry = f"unix:{display.number}.{screen}"
        env = Environment(self._connection.settings, os.environ).variables({}, {})
        if not await _add_cookie(xauth, env, entry, name, data) or self._connection.closed:
            display.listener.close()
            return None
        self.stop(channel)
        self._displays[channel] = display
        self._connection.access_control.note(
            self._connection.client_id, "x11.forwarded", f"forwards display {display.number}"
        )
        return f"localhost:{display.number}.{screen}"

    async def _listen(self) -> _Display | None:
        for number in range(FIRST_DISPLAY, LAST_DISPLAY):
            try:
                sockets = connect.listen(connect.LOOPBACKS, BASE_PORT + number)
            except OSError:
                continue
            listener = ForwardListener(f"X11 display {number}", BASE_PORT + number, lambda _: None)
            await listener.serve(sockets, self._bridge_for)
            return _Display(number, listener)
        return None

    def _bridge_for(self, peer: tuple[str, int]) -> Bridge | None:
        try:
            forwarded = self._connections.start("x11", "X11")
        except asyncssh.ChannelOpenError:
            return None
        self._connections.open(forwarded, self._open(forwarded, *peer))
        return forwarded.bridge

    async def _open(self, forwarded: ForwardedConnection, host: str, port: int) -> None:
        channel = self._transport().create_x11_channel()
        await channel.open(forwarded.tcp_session, host, port)

    def stop(self, channel: object) -> None:
        """The session is over: its display takes no more connections."""
        display = self._displays.pop(channel, None)
        if display is not None:
            display.listener.close()

    def regrant(self, role: Role) -> None:
        """Take the displays from a role that may not have them."""
        if not role.can(Capability.FORWARD_REMOTE):
            self.close()

    def close(self) -> None:
        """End all displays and what uses them."""
        for channel in list(self._displays):
            self.stop(channel)
        self._connections.close()


async def _add_cookie(
    xauth: str, env: Mapping[str, str], entry: str, protocol: str, data: bytes
) -> bool:
    """Give the cookie to xauth on its standard input, never in its arguments.

    `env` is that of sessions: the file must be the one that their programs read.
    """
    process = await asyncio.create_subprocess_exec(
        xauth,
        "-q",
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=env,
    )
    script = f"remove {entry}\nadd {entry} {protocol} {data.hex()}\n"
    try:
        async with asyncio.timeout(XAUTH_TIMEOUT):
            await process.communicate(script.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return process.returncode == 0
