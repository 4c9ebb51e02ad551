"""Programs that go on without their client: listed, bounded, and ended with who started them."""

import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.network.people.conftest import Crowd, eventually
from tests.network.people.test_removal import block, gone, kick, kick_all, rotate, stop
from uptui.host.process.guests import MAX_LEFT_EACH

LOOP = "echo $$ > {pid}; while :; do sleep 1; done"
DAEMON = f"setsid -f sh -c 'trap \"\" HUP; {LOOP}' > /dev/null 2>&1"
STUBBORN = DAEMON.replace("HUP;", "HUP TERM;")
PLAIN = "echo $$ > {pid}; exec sleep 600"


def started(
    crowd: Crowd, string: str, name: str, script: str, who: str = "bob"
) -> tuple[int, "subprocess.Popen[str]"]:
    """Run a command that writes down a process id; that, and its client."""
    file = crowd.folder / name
    client = crowd.start_ssh(who, string, script.replace("{pid}", str(file)))
    pid = eventually(lambda: file.exists() and file.read_text().strip(), f"{name} to start")
    return int(pid), client


def demote(crowd: Crowd) -> None:
    assert crowd.run("role", crowd.clients()[0]["id"], "pair").returncode == 0


def interrupt(crowd: Crowd) -> None:
    crowd.processes[0].send_signal(signal.SIGINT)


@pytest.mark.parametrize("remove", [kick, kick_all, block, rotate, demote, stop, interrupt])
def test_who_is_removed_leaves_no_program(crowd: Crowd, remove: Callable[[Crowd], None]) -> None:
    """Neither what an earlier client of theirs left, in a session of its own, nor a shell's job."""
    string = crowd.accept()["ssh"]
    pids = [
        started(crowd, string, "daemon", STUBBORN if remove is kick else DAEMON)[0],
        started(crowd, string, "shell", f"bash -c '{PLAIN} & wait'")[0],
    ]
    eventually(lambda: len(crowd.clients()) == 1, "the first client to have left")
    other, _ = started(crowd, string, "other", PLAIN, who="eve")
    remove(crowd)
    began = time.monotonic()
    eventually(lambda: gone(pids[1]), "who hears SIGHUP")
    assert time.monotonic() - began < 5
    eventually(lambda: all(map(gone, pids)), "all of them")
    if remove in {kick, block, demote}:
        assert not gone(other)


def test_what_goes_on_is_listed_and_can_be_ended(crowd: Crowd) -> None:
    string = crowd.accept()["ssh"]
    pid, client = started(crowd, string, "plain", f"{PLAIN} > /dev/null 2>&1 < /dev/null")
    assert [one for one in crowd.terminals() if one["kind"] == "left"] == []
    client.kill()
    [left] = eventually(crowd.terminals, "it to be listed")
    assert (left["kind"], left["id"]) == ("left", "program-1")
    assert not gone(pid)
    assert crowd.told("program.left")["data"]
    for command in ("clients", "terminals"):
        assert "program-1" in crowd.run(command).stdout
    assert crowd.json("clients")["left"][0]["id"] == "program-1"
    daemon, client = started(crowd, string, "daemon", DAEMON)
    assert client.wait(20) == 0
    eventually(lambda: len(crowd.terminals()) == 2, "a daemon left behind to be listed")
    assert crowd.run("end", "program-1").returncode == 0
    eventually(lambda: gone(pid), "it to end")
    assert not gone(daemon)
    assert crowd.run("end", "program-1").returncode == 5


def test_the_oldest_makes_room(crowd: Crowd) -> None:
    string = crowd.accept()["ssh"]
    first, client = started(crowd, string, "first", DAEMON)
    assert client.wait(20) == 0
    argv = crowd.as_argv("bob", string)
    socket = crowd.folder / "mux"
    master = crowd.show([argv[0], "-M", "-N", "-S", str(socket), *argv[1:]])
    eventually(socket.exists, "the master stands")
    for _ in range(MAX_LEFT_EACH):
        background = "setsid -f sleep 600 > /dev/null 2>&1"
        ran = crowd.show([argv[0], "-S", str(socket), *argv[1:], background])
        assert ran.ends() == 0
    eventually(lambda: gone(first), "the oldest to end")
    assert len(crowd.terminals()) == MAX_LEFT_EACH
    master.lose()
