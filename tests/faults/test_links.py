"""Links that lose, delay, swallow, and change their address."""

import hashlib
import os
import subprocess
import time

import pytest

from tests.faults.figures import Figures, length
from tests.faults.network import Day, until
from tests.network.isolated.test_three_ways import WAYS
from tests.network.isolated.topology import CLIENT_ADDRESS, RELAY_ADDRESS

BLACK = length(4.0, 60.0)
"""Seconds without a single packet."""
RECOVERY = BLACK + 10.0
"""Seconds for a session to go on after the link is back: as TCP doubles its waits (RFC 6298, 5.5),
its next try comes as late as the hole was long, and no end can hasten the other one's."""
SIZE = length(1_000_000, 8_000_000)
RETURN = 5.0
"""Seconds until a new client gets in after a link, an address or a relay is back."""


REAPED = 90.0
"""Seconds after which nothing is left of a peer that is gone."""
NOTICED = 90.0
"""Seconds until a host has noticed that its address is gone, as its pings are answered no more."""


def test_a_bad_wire_changes_no_byte(share: Day, figures: Figures) -> None:
    data = os.urandom(SIZE)
    for wire in (share.to_client, share.to_host):
        wire.set(delay=0.02, jitter=0.01, loss=0.02, twice=0.02)
    started = time.monotonic()
    for way in WAYS:
        done = subprocess.run(
            share.topology.client.command(*share.at.ssh(way, "cat")),
            input=data,
            capture_output=True,
            timeout=110,
            check=False,
        )
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest(), way
    for wire in (share.to_client, share.to_host):
        wire.set(delay=0, jitter=0, loss=0, twice=0)
    took = time.monotonic() - started
    figures.held(
        "both wires 20-30 ms, 2 % lost, 2 % doubled, overtaking",
        f"{SIZE // 1_000_000} MB there and back equal on each way ({took:.0f} s)",
        holds=True,
    )


@pytest.mark.timeout(4 * (BLACK + RECOVERY))
def test_a_black_hole_ends_nothing(share: Day, figures: Figures) -> None:
    for wire, where in ((share.to_client, "client"), (share.to_host, "host")):
        sessions = [share.start_ssh(way, "echo open; cat") for way in WAYS]
        for session in sessions:
            assert session.stdout is not None
            assert session.stdout.readline() == "open\n"
        wire.set(swallow=1)
        for session in sessions:
            assert session.stdin is not None
            session.stdin.write("into the hole\n")
            session.stdin.flush()
        time.sleep(BLACK)
        wire.set(swallow=0)
        started = time.monotonic()
        for session in sessions:
            out, error = session.communicate("still here\n", timeout=RECOVERY + 10)
            assert (out, error) == ("into the hole\nstill here\n", "")
        took = time.monotonic() - started
        figures.within(f"black hole of {BLACK:g} s at the {where}: sessions go on", took, RECOVERY)
        back = until(share.works)
        figures.within(f"black hole of {BLACK:g} s at the {where}: new client", back, RETURN)


@pytest.mark.whole
def test_a_client_that_is_gone_leaves_its_shell(share: Day, figures: Figures) -> None:
    """Half-open: the client's machine is lost without a word."""
    session = share.start_ssh("port", "-tt")
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write("echo $((40 + 2))\n")
    session.stdin.flush()
    while "42" not in session.stdout.readline():
        pass
    share.to_client.set(swallow=1)
    took = until(lambda: not share.connections(CLIENT_ADDRESS), 2 * REAPED)
    figures.within("half-open client: the relay has let go of it", took, REAPED)
    kept = until(lambda: any(shell["kind"] == "kept" for shell in share.terminals()), 2 * REAPED)
    figures.within("half-open client: its shell is kept, after so much more", kept, REAPED)
    session.kill()
    session.communicate()
    share.to_client.set(swallow=0)


@pytest.mark.whole
def test_a_host_with_a_new_address_is_back(share: Day, figures: Figures) -> None:
    """A laptop that changes its network, a pod that is moved: no packet says so."""
    machine = share.topology.host
    machine.ip("addr", "flush", "dev", "eth0")
    machine.ip("addr", "add", "10.77.2.9/24", "dev", "eth0")
    machine.ip("route", "replace", f"{RELAY_ADDRESS}/32", "via", "10.77.2.1")
    figures.within("the host's address changes: new client", until(share.works, 120), NOTICED)
