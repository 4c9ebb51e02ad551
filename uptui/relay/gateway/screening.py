"""Asks a host about the keys that a client of the plain way shows, before it has to prove one.

A host that does not answer in time, or is asked much already, decides when the client is there.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from uptui.protocol import control
from uptui.protocol.border import MAX_KEY
from uptui.protocol.control import Shown
from uptui.protocol.names import RouteName, Screening, split_secret
from uptui.relay.tunnel.broker import Broker, Caller, ControlSender
from uptui.relay.tunnel.registry import HostId

WAIT: Final = 5.0
"""Seconds that a host may think."""
MAX_ASKED: Final = 64
"""Keys that one host is asked about at the same time."""


@dataclass
class _Asked:
    host: HostId
    answer: asyncio.Future[Screening]


class Screener:
    """One per relay."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._number = 0
        self._asked: dict[int, _Asked] = {}

    async def screen(self, caller: Caller) -> Screening:
        """What the host says about the key, the user name and the address of `caller`."""
        if len(caller.verified_key or "") > MAX_KEY:
            return "no"
        host, channel = self._host_of(caller)
        asked = sum(one.host == host for one in self._asked.values())
        if host is None or channel is None or asked >= MAX_ASKED:
            return "in"
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = _Asked(host, answer)
        channel.send(_message(number, caller))
        try:
            async with asyncio.timeout(WAIT):
                return await answer
        except TimeoutError:
            return "in"
        finally:
            del self._asked[number]

    def left(self, caller: Caller) -> None:
        """The client has proved its key, was put off, and is gone."""
        _, channel = self._host_of(caller)
        if channel is not None:
            channel.send(_message(0, caller, left=True))

    def answered(self, host: HostId, said: control.Screened) -> bool:
        """A host answers; False when it was not asked that."""
        asked = self._asked.get(said.n)
        if asked is None or asked.host != host or asked.answer.done():
            return False
        asked.answer.set_result(said.screening)
        return True

    def _host_of(self, caller: Caller) -> tuple[HostId | None, ControlSender | None]:
        name, _ = split_secret(caller.user or "")
        host = self._broker.registry.serving(name)
        if host is None:
            return None, None
        return host.id, self._broker.channel(host.id)


def _message(number: int, caller: Caller, *, left: bool = False) -> Shown:
    user = caller.user or ""
    return Shown(
        n=number,
        name=RouteName(split_secret(user)[0]),
        user=user,
        key=caller.verified_key or "",
        client_host=caller.address.host,
        client_port=caller.address.port,
        client_version=caller.client_version or "",
        left=left,
    )
