"""A share from its start to its end: strings, rotation, clients, stop."""

import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
from typing import Any

import pytest

from tests.network.daemon.conftest import Machine, eventually

WAYS = ("ssh-port", "ssh-jump", "ssh-plain")


def test_one_command_one_string_on_every_way(machine: Machine) -> None:
    ready = machine.share()
    assert set(ready["ways"]) == {"port", "jump", "plain"}
    assert machine.url()["strings"] == ready["strings"]
    for way in WAYS:
        done = machine.ssh(ready["strings"][way], "echo out; echo err >&2; exit 7")
        assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n"), way


def test_nobody_else_can_open_what_is_stored(machine: Machine) -> None:
    machine.share()
    open_to_others = [
        path
        for top in ("s", "r")
        for path in (machine.folder / top).rglob("*")
        if stat.S_IMODE(path.lstat().st_mode) & 0o077
        and not any(parent.name == "relay" for parent in path.parents)
    ]
    assert open_to_others == []
    assert stat.S_ISSOCK(machine.api_socket.stat().st_mode)


def test_rotation_ends_the_old_string_and_keeps_who_is_in(machine: Machine) -> None:
    old = machine.share()["strings"]
    argv = machine.ssh_argv(old["ssh-port"], "cat")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdin is not None
        assert inside.stdout is not None
        inside.stdin.write("before\n")
        inside.stdin.flush()
        assert inside.stdout.readline() == "before\n"
        new = machine.json("rotate")["strings"]
        for way in WAYS:
            assert machine.ssh(old[way], "true").returncode == 255, way
            assert machine.ssh(new[way], "true").returncode == 0, way
        inside.stdin.write("after\n")
        inside.stdin.flush()
        assert inside.stdout.readline() == "after\n"
        inside.stdin.close()
        assert inside.wait(20) == 0


def test_a_stranger_is_asked_about_approved_and_kicked(machine: Machine) -> None:
    _, ready = machine.host("--unknown", "ask")
    argv = machine.ssh_argv(ready["strings"]["ssh"], "echo in; sleep 60")
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as stranger:
        waiting = eventually(lambda: machine.json("clients")["pending"], "somebody waits")[0]
        assert machine.run("approve", waiting["id"], "--name", "alice").returncode == 0
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "in\n"
        client = machine.json("clients")["clients"][0]
        assert client["name"] == "alice"
        assert machine.run("kick", client["id"], "-m", "enough").returncode == 0
        assert stranger.wait(20) != 0
    assert machine.json("clients")["clients"] == []
    events = [json.loads(line)["event"] for line in _log(machine)]
    assert "request.approved" in events


def test_a_namesake_that_waits_is_warned_about(machine: Machine) -> None:
    """By its fingerprint, whatever letters it takes; the one who has the name is not."""
    string = machine.share("--unknown", "ask")["strings"]["ssh"]
    assert machine.ssh(string, "true").returncode == 0
    owner = machine.json("people")[0]["fingerprint"]
    assert machine.run("rename", owner, "alice").returncode == 0
    other = machine.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    argv = machine.ssh_argv(string, "true")
    argv[3:3] = ["-i", str(other), "-o", "User=\u0430lice\u2800"]
    config = machine.folder / "ssh_config"
    config.write_text(config.read_text().replace(f"IdentityFile {machine.folder}/key\n", ""))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as namesake:
        waiting = eventually(lambda: machine.json("clients")["pending"], "somebody waits")[0]
        told = (
            "looks like alice, another key is known as alice; mixes Cyrillic and Latin letters; "
            "the name has characters that are not seen (U+2800)"
        )
        assert (waiting["name"], waiting["warning"]) == ("\u0430lice", told)
        assert f"WARNING: {waiting['id']}: \u0430lice: {told}" in machine.run("clients").stdout
        assert told in machine.run("log").stdout
        assert machine.run("deny", waiting["id"]).returncode == 0
        assert namesake.wait(20) != 0


def _log(machine: Machine) -> list[str]:
    return machine.run("log", "--json").stdout.splitlines()


def test_strings_and_host_key_survive_a_restart(machine: Machine) -> None:
    first = machine.share()
    assert machine.run("stop").returncode == 0
    second = machine.share()
    assert second["strings"] == first["strings"]
    assert second["host_key"] == first["host_key"]
    assert machine.ssh(second["strings"]["ssh"], "true").returncode == 0


def test_an_alias_is_claimed_kept_and_given_back(machine: Machine) -> None:
    machine.share()
    taken = machine.json("alias", "claim", "demo-box")
    assert taken["name"] == "demo-box"
    assert machine.ssh(taken["strings"]["ssh"], "true").returncode == 0
    said = machine.run("rotate").stdout
    assert said.startswith("The old token no longer works; demo-box stays:\nssh ")
    assert machine.url()["strings"] == taken["strings"]
    machine.run("stop")
    assert machine.share()["strings"] == taken["strings"]
    assert machine.run("alias", "release", "demo-box").returncode == 0
    assert machine.url()["name"] != "demo-box"
    refused = machine.run("alias", "check", "ab")
    assert refused.returncode == 1
    assert "not available" in refused.stdout


def test_an_invite_works_on_every_way_until_it_is_revoked(machine: Machine) -> None:
    machine.share("--plain-invites")
    made = machine.json("invite", "bob", "--role", "developer")
    for way in WAYS:
        assert machine.ssh(made["strings"][way], "echo hi").stdout == "hi\n", way
    assert machine.run("revoke", "bob").returncode == 0
    for way in WAYS:
        assert machine.ssh(made["strings"][way], "true").returncode != 0, way
    assert "revoked" in machine.ssh(made["strings"]["ssh-port"], "true").stderr


def test_the_record_says_who_did_what(machine: Machine) -> None:
    machine.share()
    made = machine.json("invite", "bob", "--role", "developer")
    machine.ssh(made["strings"]["ssh"], "true")
    lines = machine.run("log").stdout.splitlines()
    [ran] = [line for line in lines if " session.exec " in line]
    assert ran.endswith(" bob runs true")
    [joined] = [line for line in lines if " client.joined " in line]
    assert joined.endswith(" bob joined as developer (invite bob)")


def test_a_locked_share_takes_nobody_new(machine: Machine) -> None:
    strings = machine.share()["strings"]
    assert machine.run("lock").returncode == 0
    refused = machine.ssh(strings["ssh"], "true")
    assert refused.returncode != 0
    assert "locked" in refused.stderr
    machine.run("unlock")
    assert machine.ssh(strings["ssh"], "true").returncode == 0


def test_settings_are_shown_with_their_origin_and_changed_live(machine: Machine) -> None:
    config = machine.folder / "c" / "config.toml"
    config.parent.mkdir()
    config.write_text('[host]\nkeep_shells = "1h"\n')
    machine.host("--unknown", "deny", UPTUI_APPROVAL_TIMEOUT="30s")
    rows = {row["key"]: row for row in machine.json("settings")}
    assert (rows["host.keep_shells"]["value"], rows["host.keep_shells"]["origin"]) == (3600, "file")
    assert rows["host.approval_timeout"]["origin"] == "env"
    assert "1h " in machine.run("settings", "keep_shells").stdout
    assert rows["host.unknown"]["where"] == "--unknown"
    assert machine.run("settings", "unknown", "ask").returncode == 0
    assert machine.json("status")["share"]["unknown"] == "ask"
    assert machine.run("settings", "unknown", "whoever").returncode == 5
    assert machine.run("settings", "cwd", "/").returncode == 5
    assert machine.run("settings", "unknown", "--reset").returncode == 0
    assert machine.json("status")["share"]["unknown"] == "deny"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(machine: Machine, number: signal.Signals) -> None:
    process, ready = machine.host("--authorized-keys", machine.key)
    process.send_signal(number)
    assert process.wait(20) == 0
    assert not machine.api_socket.exists()
    assert machine.ssh(ready["strings"]["ssh"], "true").returncode == 255
    assert machine.run("status").returncode == 3


def test_a_hangup_and_a_closed_stdout_end_nothing(machine: Machine) -> None:
    process, ready = machine.host("--authorized-keys", machine.key)
    assert process.stdout is not None
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    for _ in range(3):
        assert machine.ssh(ready["strings"]["ssh"], "trap - HUP; kill -HUP $$").returncode != 0
    assert process.poll() is None
    assert machine.json("status")["share"]["status"] == "sharing"


def test_shells_do_not_inherit_a_deaf_ear_for_hangups(machine: Machine) -> None:
    strings = machine.share()["strings"]
    found = machine.ssh(strings["ssh"], "grep SigIgn /proc/self/status").stdout.split()[1]
    assert int(found, 16) & (1 << (signal.SIGHUP - 1)) == 0


def test_a_second_daemon_is_refused_and_another_name_is_not(machine: Machine) -> None:
    process, ready = machine.host()
    second = machine.run("host")
    assert second.returncode == 4
    assert str(process.pid) in second.stderr
    other = machine.start("--name", "other", "host", "--json", log="other.log")
    assert other.stdout is not None
    assert json.loads(other.stdout.readline())["name"] != ready["name"]
    assert machine.json("--name", "other", "status")["share"]["name"] == "other"


def test_a_shared_command_ends_the_share_with_itself(machine: Machine) -> None:
    process, _ = machine.host("--", "sh", "-c", "read line")
    seen = _join_and_type(machine, b"\r")
    assert process.wait(20) == 0, seen


def _join_and_type(machine: Machine, keys: bytes) -> bytes:
    """`uptui attach` on a real terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "uptui", "attach"]
        os.execvpe(command[0], command, {**machine.env, "TERM": "xterm-256color"})
    eventually(lambda: machine.json("status")["terminals"], "the shared terminal runs")
    os.write(terminal, keys)
    seen = b""
    try:
        while data := os.read(terminal, 4096):
            seen += data
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return seen


def test_the_api_answers_garbage_with_errors_and_goes_on(machine: Machine) -> None:
    machine.share()
    for garbage in (b"\0" * 1000, b"GET / HTTP/9\r\n\r\n", os.urandom(4000), b"SSH-2.0-x\r\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(machine.api_socket))
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(4096)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    for method, path, body, status in (
        ("POST", "/v1/rotate", b"{", 422),
        ("POST", "/v1/rotate", b'{"kick": "maybe"}', 422),
        ("POST", "/v1/rotate", b" " * 70_000, 413),
        ("GET", "/v1/nothing", b"", 404),
        ("GET", "/v1/rotate", b"", 405),
        ("POST", "/v1/requests/rxxxxx/approve", b"{}", 404),
        ("PUT", "/v1/settings/host.nothing", b'{"value": 1}', 404),
        ("GET", "/v1/log?limit=-1", b"", 422),
    ):
        problem = _curl(machine, method, path, body)
        assert problem["status"] == status, (method, path, problem)
        assert problem["detail"]
    assert machine.run("status").returncode == 0


def _curl(machine: Machine, method: str, path: str, body: bytes) -> Any:
    argv = ["curl", "-s", "--unix-socket", str(machine.api_socket), "-X", method]
    done = subprocess.run(
        [*argv, "--data-binary", "@-", f"http://uptui{path}"],
        input=body,
        capture_output=True,
        timeout=20,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_log_is_followed_as_it_happens(machine: Machine) -> None:
    strings = machine.share()["strings"]
    follower = machine.start("log", "--follow", "--json", "-n", "1", log="follow.log")
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["event"]
    eventually(lambda: machine.ssh(strings["ssh"], "true").returncode == 0, "somebody joins")
    events: set[str] = set()
    while "client.left" not in events:
        machine.ssh(strings["ssh"], "true")
        line = json.loads(follower.stdout.readline())
        assert line["at"] > 0
        events.add(line["event"])
    assert "client.joined" in events
