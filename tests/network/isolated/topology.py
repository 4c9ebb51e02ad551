"""Three machines made of network namespaces: client and host share only the relay.

    client 10.77.1.2 ── 10.77.1.1 relay (10.77.0.1) 10.77.2.1 ── 10.77.2.2 host

The relay does not forward packets, and neither end has a route to the other.
"""

import subprocess
from dataclasses import dataclass

RELAY_ADDRESS = "10.77.0.1"
CLIENT_ADDRESS = "10.77.1.2"
HOST_ADDRESS = "10.77.2.2"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Machine:
    """One namespace."""

    namespace: str

    def command(self, *argv: str) -> list[str]:
        """The argv that runs a command on this machine."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def run(self, *argv: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*argv),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def make(self) -> None:
        ip("netns", "add", self.namespace)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> None:
        ip("-n", self.namespace, *arguments)

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)


@dataclass(frozen=True)
class Topology:
    client: Machine
    relay: Machine
    host: Machine

    @classmethod
    def named(cls, prefix: str) -> "Topology":
        return cls(*(Machine(f"{prefix}-{role}") for role in ("client", "relay", "host")))

    def make(self) -> None:
        for machine in (self.client, self.relay, self.host):
            machine.make()
        self.relay.ip("addr", "add", f"{RELAY_ADDRESS}/32", "dev", "lo")
        self._join(self.client, "toclient", "10.77.1.1/24", f"{CLIENT_ADDRESS}/24")
        self._join(self.host, "tohost", "10.77.2.1/24", f"{HOST_ADDRESS}/24")

    def _join(self, machine: Machine, port: str, near: str, far: str) -> None:
        self.relay.ip(
            "link", "add", port, "type", "veth", "peer", "eth0", "netns", machine.namespace
        )
        self.relay.ip("addr", "add", near, "dev", port)
        self.relay.ip("link", "set", port, "up")
        machine.ip("addr", "add", far, "dev", "eth0")
        machine.ip("link", "set", "eth0", "up")
        machine.ip("route", "add", f"{RELAY_ADDRESS}/32", "via", near.split("/", maxsplit=1)[0])

    def remove(self) -> None:
        for machine in (self.client, self.relay, self.host):
            machine.remove()
