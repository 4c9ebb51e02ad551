"""Descriptors and disks that run out, and come back."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.faults.figures import Figures, length
from tests.faults.network import until
from tests.network.disk import small_disk
from tests.network.people.conftest import Crowd
from tests.ports import free_range

RETURN = 5.0
"""Seconds until a new client gets in after what had run out is there again."""
STARVED = length(2.0, 30.0)
FEW = 3
"""Descriptors that a starved process has left."""


@contextlib.contextmanager
def starved(pid: int) -> Generator[None]:
    """The process may open only a few more descriptors."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    _limit(pid, f"{used + FEW}:{hard}")
    try:
        yield
    finally:
        _limit(pid, f"{soft}:{hard}")


def _limit(pid: int, limit: str) -> None:
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={limit}"], check=True)


@pytest.fixture
def apart(crowd: Crowd) -> tuple[Crowd, int, int]:
    """A share with a relay of its own process: the crowd, and the pids of relay and host."""
    relay = crowd.start(
        *("relay", "--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--json"),
        *("--state", str(crowd.folder / "relay"), "--public-host", "127.0.0.1"),
        *("--ports", free_range()),
        log="relay.log",
    )
    assert relay.stdout is not None
    url = json.loads(relay.stdout.readline())["url"]
    host, _ = crowd.host("--unknown", "accept", "--relay", url)
    return crowd, relay.pid, host.pid


@pytest.mark.parametrize("which", ["relay", "host"])
def test_descriptors_run_out(apart: tuple[Crowd, int, int], figures: Figures, which: str) -> None:
    crowd, relay, host = apart
    string = crowd.url()["strings"]["ssh"]
    session = crowd.start_ssh("alice", string, "echo open; cat")
    assert session.stdout is not None
    assert session.stdout.readline() == "open\n"
    port = int(string.split()[string.split().index("-p") + 1])
    with starved(relay if which == "relay" else host), contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(STARVED)
    out, _ = session.communicate("still here\n", timeout=30)
    assert out == "still here\n"
    back = until(lambda: crowd.as_ssh("bob", string, "echo in").stdout == "in\n")
    figures.within(f"descriptors of the {which} run out: new client", back, RETURN)
    log = (crowd.folder / f"{which}.log").read_text()
    figures.held(
        f"descriptors of the {which} run out: its log",
        "no traceback, fewer than 50 lines",
        "Traceback" not in log and log.count("\n") < 50,
    )


ACTS = (
    ("rotate",),
    ("invite", "carol"),
    ("lock",),
    ("unlock",),
    ("role", "alice", "viewer"),
    ("block", "alice"),
    ("forget", "alice"),
)


def fill(disk: Path) -> Path:
    """Leave no byte free; returns the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    return filler


def test_the_disk_is_full_for_each_act(crowd: Crowd, figures: Figures) -> None:
    """An act that cannot be kept says so, what is on disk stays, and who is in stays in."""
    state = crowd.folder / "s" / "default"
    with small_disk(state, 512):
        strings = crowd.accept()
        assert crowd.as_ssh("alice", strings["ssh"], "true").returncode == 0
        session = crowd.start_ssh("bob", strings["ssh"], "echo open; cat")
        assert session.stdout is not None
        assert session.stdout.readline() == "open\n"
        filler = fill(state)
        kept = {path: path.read_bytes() for path in state.glob("*.json")}
        silent: list[str] = []
        for act in ACTS:
            done = crowd.run(*act)
            if done.returncode == 0 and not done.stderr:
                silent.append(" ".join(act))
        assert {path: path.read_bytes() for path in kept} == kept
        figures.held("disk full: acts that cannot be kept say so", "all of them", not silent)
        out, _ = session.communicate("still here\n", timeout=30)
        figures.held("disk full: an open session", "goes on", out == "still here\n")
        filler.unlink()

        def gets_in() -> bool:
            string = crowd.url()["strings"].get("ssh")
            return string is not None and crowd.as_ssh("dora", string, "echo in").stdout == "in\n"

        back = until(gets_in)
        figures.within("disk full, then room again: new client", back, 10.0)


def test_the_disk_of_the_own_relay_is_full(crowd: Crowd, figures: Figures) -> None:
    """What stands at the relay stands; a new name is refused, and comes once there is room."""
    disk = crowd.folder / "s" / "default" / "relay"
    with small_disk(disk, 512):
        strings = crowd.accept()
        session = crowd.start_ssh("bob", strings["ssh"], "echo open; cat")
        assert session.stdout is not None
        assert session.stdout.readline() == "open\n"
        filler = fill(disk)
        crowd.run("invite", "carol")
        time.sleep(STARVED)
        assert "ssh " not in crowd.run("invite", "carol", "--show").stdout
        out, _ = session.communicate("still here\n", timeout=30)
        figures.held("the relay's disk is full: an open session", "goes on", out == "still here\n")
        stands = crowd.as_ssh("alice", strings["ssh"], "echo in").stdout == "in\n"
        figures.held("the relay's disk is full: strings that stood", "work", stands)
        log = crowd.run("log").stdout
        assert "cannot be kept" in log
        assert "make room there" in log
        assert log.count("cannot be kept") < 3, log
        filler.unlink()

        def invited() -> bool:
            line = crowd.run("invite", "carol", "--show").stdout.strip()
            return "ssh " in line and crowd.as_ssh("carol", line, "echo in").stdout == "in\n"

        figures.within("the relay's disk has room again: the new name works", until(invited), 10.0)


@pytest.mark.parametrize(("command", "kilobytes"), [("relay", 48), ("host", 48), ("host", 4)])
def test_no_start_on_a_full_disk(crowd: Crowd, command: str, kilobytes: int) -> None:
    """The error names the place and what to do."""
    state = crowd.folder / "s"
    flags = ("--http", "127.0.0.1:0", "--state", str(state)) if command == "relay" else ()
    with small_disk(state, kilobytes):
        done = crowd.run(command, *flags)
    assert done.returncode == 1
    assert str(state) in done.stderr
    assert "No space left on device" in done.stderr or "make room there" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
