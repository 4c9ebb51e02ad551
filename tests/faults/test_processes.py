"""Processes that are killed or stand still."""

import os
import signal
import time

import pytest

from tests.faults.figures import Figures, length
from tests.faults.network import Day, until

RETURN = 5.0
"""Seconds until a new client gets in after the relay is back."""
STOPPED = length(3.0, 60.0)


@pytest.mark.parametrize("gone", length([2.0], [2.0, 30.0]))
def test_the_relay_is_killed(share: Day, figures: Figures, gone: float) -> None:
    relay, host = share.at.processes
    relay.kill()
    relay.communicate()
    time.sleep(gone)
    share.at.processes.clear()
    share.at.start_relay()
    share.at.processes.append(host)
    back = until(share.works)
    figures.within(f"relay killed (-9), back after {gone:g} s: new client", back, RETURN)


@pytest.mark.parametrize("which", ["host", "relay"])
def test_a_process_stands_still(share: Day, figures: Figures, which: str) -> None:
    """SIGSTOP, a paused container, a virtual machine that is suspended."""
    session = share.start_ssh("port", "echo open; cat")
    assert session.stdout is not None
    assert session.stdout.readline() == "open\n"
    process = share.at.processes[1 if which == "host" else 0].pid
    os.kill(process, signal.SIGSTOP)
    time.sleep(STOPPED)
    os.kill(process, signal.SIGCONT)
    started = time.monotonic()
    out, error = session.communicate("still here\n", timeout=30)
    assert (out, error) == ("still here\n", "")
    took = time.monotonic() - started
    figures.within(f"{which} stopped for {STOPPED:g} s: session goes on", took, RETURN)
    figures.within(f"{which} stopped for {STOPPED:g} s: new client", until(share.works), RETURN)
