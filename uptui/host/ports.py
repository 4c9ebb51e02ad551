"""Finds the TCP ports that something in this machine listens on, with their processes."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

import psutil

from uptui.protocol.host_api import ListeningPort

INTERVAL: Final = 3.0
"""Seconds between two looks, at least."""
MAX_SHARE: Final = 0.02
"""Part of one core that looking may take; on large machines it looks less often."""
MAX_PORTS: Final = 500


def listening(ignored: Sequence[int], own_pid: int) -> list[ListeningPort]:
    """Every listening port once, by number, without those of this daemon."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return []
    names: dict[int, str] = {}
    found: dict[int, ListeningPort] = {}
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        port, pid = connection.laddr.port, connection.pid
        if pid == own_pid or port in ignored or port in found or len(found) >= MAX_PORTS:
            continue
        found[port] = ListeningPort(
            port=port, address=connection.laddr.ip, process=_name(pid, names), pid=pid
        )
    return [found[port] for port in sorted(found)]


def _name(pid: int | None, names: dict[int, str]) -> str:
    if pid is None:
        return ""
    if pid not in names:
        try:
            names[pid] = psutil.Process(pid).name()
        except psutil.Error:
            names[pid] = ""
    return names[pid]


class PortWatch:
    """Looks again and again; `ports` is the newest finding."""

    def __init__(self, ignored: Callable[[], Sequence[int]], changed: Callable[[], None]) -> None:
        self.ports: list[ListeningPort] = []
        self._ignored = ignored
        self._changed = changed

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            started = time.monotonic()
            found = await asyncio.to_thread(listening, self._ignored(), os.getpid())
            took = time.monotonic() - started
            if found != self.ports:
                self.ports = found
                self._changed()
            await asyncio.sleep(max(INTERVAL, took / MAX_SHARE))
