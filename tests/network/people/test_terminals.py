"""The shared command, attaching, recording, sizes and kept shells, from the command line."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.network.people.conftest import Crowd, eventually


def test_a_shared_command_starts_at_once_here_and_ends_the_share(crowd: Crowd) -> None:
    command = f"pwd > {crowd.folder}/where; read line; exit 7"
    process = subprocess.Popen(
        [sys.executable, "-m", "uptui", "host", "--json", "--unknown", "accept", "--",
         "sh", "-c", command],
        env=crowd.env, cwd="/usr", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    crowd.processes.append(process)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    where = crowd.folder / "where"
    eventually(lambda: where.exists() and where.read_text(), "the command to run for nobody")
    assert where.read_text() == "/usr\n"
    guest = crowd.window("bob", ready["strings"]["ssh"])
    eventually(lambda: crowd.terminals()[0]["viewers"] == 1, "the guest in the command")
    host = crowd.attach()
    eventually(lambda: crowd.terminals()[0]["viewers"] == 2, "the host in it, too")
    assert crowd.run("end", "shared-not").returncode == 5
    host.type("go\r")
    assert host.ends() == 7
    guest.ends()
    assert process.wait(20) == 7


def test_attach_joins_leaves_and_says_why_not(crowd: Crowd) -> None:
    assert crowd.run("attach").returncode == 3
    strings = crowd.accept("--landing", "shared")
    assert crowd.run("attach").returncode == 2
    assert crowd.run("join").returncode == 2
    guest = crowd.window("bob", strings["ssh"])
    eventually(crowd.terminals, "the shared terminal to run")
    host = crowd.attach()
    host.type("echo from-$((40+2))\r")
    guest.shows("from-42")
    inside = crowd.attach("--watch")
    eventually(lambda: crowd.terminals()[0]["viewers"] == 3, "the second window")
    inside.type("echo wrong-$((40+3))\r")
    inside.shows("you are watching")
    host.type("\x1d")
    assert host.ends() == 0
    assert "wrong-43" not in guest.seen
    eventually(lambda: crowd.terminals()[0]["viewers"] == 2, "the host has left")


def test_recording_from_the_command_line_is_told_and_plays(crowd: Crowd) -> None:
    strings = crowd.accept("--landing", "shared")
    guest = crowd.window("bob", strings["ssh"], columns=90)
    eventually(crowd.terminals, "the shared terminal to run")
    assert crowd.run("record", "on").returncode == 0
    guest.shows("this terminal is being recorded")
    late = crowd.attach(columns=90)
    late.shows("this terminal is being recorded")
    guest.type("echo kept-$((40+2)); printf '\\033[31mred\\033[0m\\n'\r")
    late.shows("kept-42")
    assert crowd.snapshot()["share"]["recording"] is True
    assert "recorded" in crowd.run("terminals").stdout
    assert crowd.run("record", "off").returncode == 0
    guest.shows("the recording has ended")
    assert crowd.snapshot()["share"]["recording"] is False
    guest.type("echo private-$((40+3))\r")
    late.shows("private-43")
    [cast] = Path(crowd.folder, "s", "default", "recordings").glob("*.cast")
    check_cast(cast.read_text())
    assert "kept-42" in cast.read_text()
    assert "private-43" not in cast.read_text()
    assert {"terminal.recording", "terminal.recorded"} <= set(crowd.events())


def check_cast(text: str) -> None:
    """As https://docs.asciinema.org/manual/asciicast/v2/ has it."""
    header, *events = [json.loads(line) for line in text.splitlines()]
    assert header["version"] == 2
    assert header["width"] > 0
    assert header["height"] > 0
    assert abs(header["timestamp"] - time.time()) < 300
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    assert times[0] >= 0
    for _, kind, data in events:
        assert kind in {"o", "r"}
        assert isinstance(data, str)
        if kind == "r":
            columns, rows = data.split("x")
            assert int(columns) > 0
            assert int(rows) > 0


def test_the_size_policy_changes_live(crowd: Crowd) -> None:
    strings = crowd.accept("--landing", "shared")
    host = crowd.attach(columns=100)
    eventually(crowd.terminals, "the shared terminal to run")
    phone = crowd.window("bob", strings["ssh"], columns=40)
    eventually(lambda: crowd.terminals()[0]["viewers"] == 2, "both in it")
    phone.type("echo small-$((40+2))\r")
    host.shows("small-42")
    assert crowd.terminals()[0]["columns"] == 100
    for policy, columns in (("smallest", 40), ("host", 100), ("typist", 40)):
        assert crowd.run("settings", "terminal_size", policy).returncode == 0
        eventually(
            lambda columns=columns: crowd.terminals()[0]["columns"] == columns,
            f"{columns} columns by the policy {policy}",
        )
    assert crowd.run("settings", "terminal_size", "largest").returncode == 5


def test_a_kept_shell_is_listed_and_ended(crowd: Crowd) -> None:
    strings = crowd.accept()
    client = crowd.window("bob", strings["ssh"])
    pid = shell_of(client)
    client.lose()
    [kept] = eventually(crowd.terminals, "the shell to be kept")
    assert (kept["kind"], kept["id"]) == ("kept", "shell-1")
    assert "kept, ends in 12h" in crowd.run("terminals").stdout
    assert crowd.run("end", "shell-1").returncode == 0
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the shell to end")
    assert crowd.terminals() == []
    assert crowd.run("end", "shell-1").returncode == 5


def test_the_host_takes_a_kept_shell_up_and_leaves_it_kept(crowd: Crowd) -> None:
    strings = crowd.accept()
    client = crowd.window("bob", strings["ssh"])
    pid = shell_of(client)
    client.lose()
    eventually(crowd.terminals, "the shell to be kept")
    host = crowd.attach("shell-1")
    assert shell_of(host) == pid
    assert crowd.terminals() == []
    assert crowd.told("shell.resumed")["text"].startswith("the host came back to ")
    host.type("\x1d")
    assert host.ends() == 0
    assert eventually(crowd.terminals, "it to be kept again")[0]["id"] == "shell-1"
    lost = crowd.attach("shell-9")
    assert lost.ends() != 0
    assert "no shell 'shell-9' is kept" in lost.seen


def shell_of(client: "object") -> int:
    """The process id of the shell in a window."""
    from tests.network.people.conftest import Window

    assert isinstance(client, Window)
    client.type("echo pid=$$=\r")

    def found() -> list[str]:
        parts = client.seen.split("pid=")[1:]
        return [part.split("=")[0] for part in parts if part.split("=")[0].isdigit()]

    return int(eventually(found, "the shell to answer")[0])


def test_nobody_records_into_somebody_elses_file(crowd: Crowd) -> None:
    crowd.accept("--record")  # from its start, by the setting
    host = crowd.attach()
    host.shows("this terminal is being recorded")
    [cast] = Path(crowd.folder, "s", "default", "recordings").glob("*.cast")
    assert cast.stat().st_mode & 0o077 == 0
    assert cast.stat().st_uid == os.getuid()
