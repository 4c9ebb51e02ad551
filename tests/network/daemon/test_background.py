"""The daemon that `uptui` starts: it outlives the terminal, and tells why it cannot start."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tests.network.daemon.conftest import Machine, Terminal, eventually
from tests.network.disk import small_disk


def test_the_share_outlives_the_terminal_and_stop_ends_it(machine: Machine) -> None:
    terminal = Terminal(machine, "--authorized-keys", machine.key, "--unknown", "deny")
    eventually(lambda: terminal.shows(b"ssh -p"), "the TUI shows the string")
    strings = machine.url()["strings"]
    pid = machine.json("status")["share"]["pid"]
    assert os.getsid(pid) == pid
    terminal.tear_away()
    assert machine.ssh(strings["ssh"], "echo still").stdout == "still\n"
    os.kill(pid, signal.SIGHUP)
    assert machine.ssh(strings["ssh"], "echo still").stdout == "still\n"
    argv = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert machine.key.encode() not in argv
    again = Terminal(machine)
    eventually(lambda: again.shows(b"ssh -p"), "the TUI is back")
    again.press(b"q")
    eventually(lambda: again.shows(b"Still sharing"), "it says that the share goes on")
    again.tear_away()
    assert machine.json("status")["share"]["pid"] == pid
    assert machine.run("stop").returncode == 0
    eventually(lambda: _gone(pid), "the process has ended", 5)
    assert machine.run("status").returncode == 3


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_why_it_does_not_start_is_said(machine: Machine) -> None:
    folder = machine.folder / "s" / "default"
    folder.mkdir(parents=True)
    (folder / "identity").write_text("no key\n")
    terminal = Terminal(machine)
    eventually(lambda: terminal.shows(b"not a private key"), "the daemon's log is shown")
    terminal.tear_away()


def test_without_a_terminal_it_says_what_to_run_instead(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 2
    assert "uptui host" in done.stderr


def fill(path: Path) -> Path:
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 1024)
        except OSError:
            return filler


def test_a_full_disk_is_said_and_nothing_is_lost(machine: Machine) -> None:
    relay = machine.folder / "relay"
    server = machine.start(
        *("relay", "--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--json"),
        *("--state", str(relay), "--public-host", "127.0.0.1"),
        log="relay.log",
    )
    assert server.stdout is not None
    url = re.search(r"http://[0-9.:]+", server.stdout.readline())
    assert url is not None
    state = machine.folder / "s" / "default"
    with small_disk(state):
        machine.host("--relay", url[0])
        before = (state / "session.json").read_bytes()
        filler = fill(state)
        rotated = machine.run("rotate")
        assert rotated.returncode == 0, rotated.stderr
        assert "forgotten when the daemon ends: " in rotated.stderr
        assert f"{state}/session.json: cannot be written: No space left" in rotated.stderr
        assert (state / "session.json").read_bytes() == before
        eventually(
            lambda: "cannot be saved" in machine.run("status", "--json").stdout, "it is on record"
        )
        filler.unlink()
        eventually(lambda: (state / "session.json").read_bytes() != before, "it is saved later")
        eventually(lambda: machine.run("rotate").stderr == "", "no more warning")
        assert machine.run("stop").returncode == 0


def test_a_full_disk_of_the_relay_inside_is_one_line_each_and_ends_nothing(
    machine: Machine,
) -> None:
    state = machine.folder / "s" / "default"
    with small_disk(state, 512):
        _, ready = machine.host("--authorized-keys", machine.key)
        argv = machine.ssh_argv(ready["strings"]["ssh"], "cat")
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as inside:
            filler = fill(state)
            assert machine.run("rotate").returncode == 1
            filler.unlink()
            new = eventually(lambda: machine.url()["strings"], "an address")
            assert machine.ssh(new["ssh"], "true").returncode == 0
            assert inside.communicate("still here\n", timeout=20)[0] == "still here\n"
    log = (machine.folder / "host.log").read_text()
    assert "the disk is full" in log
    assert "Traceback" not in log


def test_a_start_on_a_full_disk_names_the_file(machine: Machine) -> None:
    state = machine.folder / "s" / "default"
    with small_disk(state):
        fill(state)
        done = machine.run("host")
        assert done.returncode == 1
        assert "No space left" in done.stderr
        assert str(state) in done.stderr
