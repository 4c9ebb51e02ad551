"""A link that swallows everything: a minute of it costs nothing, a dead peer is reaped in time.

Slow: the times are those of the real relay and kernel. All cases run at once, each on machines of
its own, and are looked at when they are over.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from tests.network.isolated.test_three_ways import WAYS, Running
from tests.network.isolated.topology import CLIENT_ADDRESS, Machine, Topology

BLACK = 60.0
"""Seconds without a single packet that every session outlives."""
REAPED = 90.0
"""Seconds after which nothing is left of a peer that is gone."""
RECOVERY = 20.0
"""Seconds for a session to go on after the link is back."""
COUNT = 75
STOPPED_BYTES = 20_000_000


@contextlib.contextmanager
def machines(folder: Path, name: str) -> Generator[Running]:
    topology = Topology.named(f"bh{os.getpid()}{name}")
    folder.mkdir()
    try:
        topology.make()
        running = Running(topology, folder)
        try:
            yield running
        finally:
            running.stop()
    finally:
        topology.remove()


def swallow(machine: Machine, *, on: bool = True) -> None:
    """Lose every packet between this machine and the relay where it arrives: its sender must not
    know, as TCP takes what its own machine refuses for something else than a loss."""
    relay = Machine(machine.namespace.rsplit("-", 1)[0] + "-relay")
    near = "toclient" if machine.namespace.endswith("client") else "tohost"
    for where, device in ((machine, "eth0"), (relay, near)):
        hole = f"chain in {{ type filter hook prerouting priority -300; iifname {device} drop; }};"
        act = f"add table ip hole {{ {hole} }}" if on else "delete table ip hole"
        done = where.run("nft", act)
        assert done.returncode == 0, done.stderr


class Session:
    """An ssh that says what it reads; with `chatty` the far end speaks all the time."""

    def __init__(self, at: Running, way: str, *, chatty: bool) -> None:
        count = f"for i in $(seq {COUNT}); do echo $i; sleep 1; done"
        command = count if chatty else "echo open; cat"
        options = ("-o", "ServerAliveInterval=0", "-o", "TCPKeepAlive=no")
        argv = at.ssh(way, command)
        self.process = subprocess.Popen(
            at.topology.client.command(*argv[:3], *options, *argv[3:]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.first = ""

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        if self.first not in {"1\n", "open\n"}:
            self.__exit__()
            raise AssertionError(self.first)
        return self

    def __exit__(self, *_: object) -> None:
        """End it with the ssh that jumps for it, which would wait in the black hole for ever."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()

    def finish(self, text: str, within: float) -> tuple[str, str]:
        out, error = self.process.communicate(text, timeout=within)
        return self.first + out, error


def outlives(folder: Path, cut: str) -> None:
    with machines(folder, cut) as at, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Session(at, way, chatty=False)) for way in WAYS]
        chatty = [stack.enter_context(Session(at, way, chatty=True)) for way in WAYS]
        machine = at.topology.client if cut == "client" else at.topology.host
        swallow(machine)
        time.sleep(BLACK)
        swallow(machine, on=False)
        for way, session in zip(WAYS, idle, strict=True):
            assert session.finish("still here\n", RECOVERY) == ("open\nstill here\n", ""), way
        whole = "".join(f"{number}\n" for number in range(1, COUNT + 1))
        for way, session in zip(WAYS, chatty, strict=True):
            assert session.finish("", COUNT - BLACK + RECOVERY) == (whole, ""), way


def connections(at: Running, to: str) -> list[str]:
    """Those of the relay's sockets to an address that are not closed."""
    found = at.topology.relay.run("ss", "-Htno", "dst", to)
    assert found.returncode == 0
    return [line for line in found.stdout.splitlines() if not line.startswith("TIME-WAIT")]


def reaps(folder: Path, _: str) -> None:
    with machines(folder, "gone") as at, contextlib.ExitStack() as stack:
        for way in WAYS:
            for chatty in (True, False):
                stack.enter_context(Session(at, way, chatty=chatty))
        assert len(connections(at, CLIENT_ADDRESS)) >= 2 * len(WAYS)
        swallow(at.topology.client)
        deadline = time.monotonic() + REAPED
        while left := connections(at, CLIENT_ADDRESS):
            assert time.monotonic() < deadline, left
            time.sleep(1)


def spares(folder: Path, _: str) -> None:
    """A client that is stopped is not dead: it gets everything when it goes on."""
    with machines(folder, "stop") as at, contextlib.ExitStack() as stack:
        command = f"head -c {STOPPED_BYTES} /dev/zero"
        clients: dict[str, subprocess.Popen[bytes]] = {}
        for way in WAYS:
            argv = at.topology.client.command(*at.ssh(way, command))
            client = stack.enter_context(
                subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
            )
            stack.callback(client.kill)
            assert client.stdout is not None
            assert client.stdout.read(1) == b"\0"
            subprocess.run(["kill", "-STOP", str(client.pid)], check=True)
            clients[way] = client
        time.sleep(REAPED)
        for way, client in clients.items():
            subprocess.run(["kill", "-CONT", str(client.pid)], check=True)
            out, error = client.communicate(timeout=RECOVERY)
            assert (client.returncode, len(out), error) == (0, STOPPED_BYTES - 1, b""), way


CASES: dict[str, Callable[[Path, str], None]] = {
    "client": outlives,
    "host": outlives,
    "gone": reaps,
    "stop": spares,
}


@pytest.mark.timeout(180)
def test_black_holes_of_a_minute_dead_peers_and_stopped_clients(tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(CASES)) as pool:
        works = {name: pool.submit(case, tmp_path / name, name) for name, case in CASES.items()}
    problems = {name: work.exception() for name, work in works.items()}
    assert {name: found for name, found in problems.items() if found} == {}
