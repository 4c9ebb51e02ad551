"""Ports for programs that must be told a number: sshd, haproxy, a relay's own range.

What listens by itself binds port 0 instead and says which it got.
"""

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

FIRST: Final = 21000
"""Above the ports of a relay that is told none (20000-20999)."""
LAST: Final = 32000
"""Below the range from which Linux takes ports for clients and for port 0 (from 32768): a port of
ours is nobody's between the moment it is chosen and the moment its program listens."""


def free_ports(count: int) -> list[int]:
    """`count` ports next to each other on which nobody listens and that no other caller gets soon.

    All test processes of a user take turns through one range, by a number in a file. Raises
    AssertionError when the whole range is taken.
    """
    turns = Path(tempfile.gettempdir()) / f"uptui-test-ports-{os.getuid()}"
    with turns.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        start = int(file.read() or FIRST)
        for _ in range(FIRST, LAST, count):
            if start + count > LAST:
                start = FIRST
            ports = list(range(start, start + count))
            start += count
            if _nobody_listens(ports):
                file.truncate(0)
                file.write(str(start))
                return ports
    raise AssertionError(f"no {count} free ports between {FIRST} and {LAST}")


def free_port() -> int:
    """One port, as `free_ports` finds it."""
    return free_ports(1)[0]


def free_range(count: int = 10) -> str:
    """Ports as `uptui relay --ports` takes them: `FIRST-LAST`."""
    ports = free_ports(count)
    return f"{ports[0]}-{ports[-1]}"


def _nobody_listens(ports: list[int]) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            for port in ports:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            return False
    return True
