"""Relay, host and client on machines of their own, joined by wires that can fail."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.faults.wire import Wire
from tests.network.isolated.test_three_ways import Running
from tests.network.isolated.topology import (
    CLIENT_ADDRESS,
    HOST_ADDRESS,
    RELAY_ADDRESS,
    Machine,
    Topology,
)

PATIENCE = 60.0


@dataclass(frozen=True)
class WiredTopology(Topology):
    """As Topology, with the two links left to wires."""

    def make(self) -> None:
        for machine in (self.client, self.relay, self.host):
            machine.make()
        self.relay.ip("addr", "add", f"{RELAY_ADDRESS}/32", "dev", "lo")

    def wire(self, machine: Machine, device: str, near: str, far: str) -> Wire:
        """Join a machine with the relay; `near` is the relay's address on that wire."""
        wire = Wire(self.relay, device, machine, "eth0")
        self.relay.ip("addr", "add", f"{near}/24", "dev", device)
        self.relay.ip("link", "set", device, "up")
        machine.ip("addr", "add", f"{far}/24", "dev", "eth0")
        machine.ip("link", "set", "eth0", "up")
        machine.ip("route", "add", f"{RELAY_ADDRESS}/32", "via", near)
        return wire


@dataclass
class Day:
    """One share, reached over two wires."""

    at: Running
    to_client: Wire
    to_host: Wire

    @property
    def topology(self) -> Topology:
        return self.at.topology

    def start_ssh(self, way: str, *command: str) -> "subprocess.Popen[str]":
        """An ssh of the client that never gives up by itself."""
        argv = self.at.ssh(way, *command)
        patient = ("-o", "ServerAliveInterval=0", "-o", "TCPKeepAlive=no")
        return subprocess.Popen(
            self.topology.client.command(*argv[:3], *patient, *argv[3:]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def connections(self, to: str) -> list[str]:
        """The relay's sockets to an address that are not closed."""
        found = self.topology.relay.run("ss", "-Htno", "dst", to)
        return [line for line in found.stdout.splitlines() if not line.startswith("TIME-WAIT")]

    def terminals(self) -> Any:
        """Shared and kept terminals of the host."""
        socket = self.at.folder / "RUNTIME" / "default" / "api.sock"
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, base_url="http://uptui") as http:
            return http.get("/v1/snapshot").raise_for_status().json()["terminals"]

    def works(self, way: str = "port") -> bool:
        """Whether a new client gets in now."""
        argv = self.at.ssh(way, "echo in")
        options = ("-o", "ConnectTimeout=2")
        done = self.topology.client.run(*argv[:3], *options, *argv[3:], timeout=20)
        return done.stdout == "in\n"


def until(holds: Callable[[], bool], patience: float = PATIENCE) -> float:
    """Seconds until `holds`."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < patience, f"not within {patience:g} s"
        time.sleep(0.05)
    return time.monotonic() - started


@contextlib.contextmanager
def day(folder: Path, name: str) -> Generator[Day]:
    """A share on three machines."""
    made = WiredTopology.named(f"fd{os.getpid()}{name}")
    assert isinstance(made, WiredTopology)
    with contextlib.ExitStack() as stack:
        stack.callback(made.remove)
        made.make()
        client = stack.enter_context(
            made.wire(made.client, "toclient", "10.77.1.1", CLIENT_ADDRESS)
        )
        host = stack.enter_context(made.wire(made.host, "tohost", "10.77.2.1", HOST_ADDRESS))
        running = Running(made, folder)
        stack.callback(running.stop)
        yield Day(running, client, host)
