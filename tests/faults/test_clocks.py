"""Clocks that jump: an hour ahead, ten days back, beside sessions that go on."""

import time
from pathlib import Path

from tests.faults.figures import Figures
from tests.network.people.conftest import Crowd

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), Path("/absent"))
TICKS = 2.5
"""Seconds in which the daemon has looked at its rules, which it does each second."""
JUMPS = {"+2h": "+7200", "-10d": "-864000", "+50h": "+180000"}


def test_clocks_jump(crowd: Crowd, figures: Figures) -> None:
    assert LIBRARY.exists(), "Debian's package faketime"
    offset = crowd.folder / "offset"
    offset.write_text("+0\n")
    _, ready = crowd.host(
        *("--unknown", "accept", "--stop-if-unused", "2h"),
        LD_PRELOAD=str(LIBRARY),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    string = ready["strings"]["ssh"]
    session = crowd.start_ssh("alice", string, "echo open; cat")
    assert session.stdout is not None
    assert session.stdin is not None
    assert session.stdout.readline() == "open\n"
    for name, jump in JUMPS.items():
        offset.write_text(f"{jump}\n")
        session.stdin.write(f"{name}\n")
        session.stdin.flush()
        assert session.stdout.readline() == f"{name}\n"
        done = crowd.as_ssh("bob", string, "echo in")
        figures.held(f"clock jumps {name}", "session and new client", done.stdout == "in\n")
    session.communicate("")
    offset.write_text("+360000\n")
    time.sleep(TICKS)
    done = crowd.as_ssh("bob", string, "echo in")
    figures.held(
        "clock jumps +50h with nobody connected, --stop-if-unused 2h",
        "the share is still there",
        done.stdout == "in\n",
    )
