"""Wrong flags, files and keys: each a clear error that names what and where."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network.daemon.conftest import Machine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["host", "--unknown", "maybe"], ["--unknown", "ask, deny, accept", "maybe"]),
        (["host", "--approval-timeout", "soon"], ["--approval-timeout", "90s", "soon"]),
        (["host", "--relay", "ftp://x"], ["--relay", "ftp://x", "https://relay.example"]),
        (["host", "--relay", "https://x/path"], ["--relay", "path"]),
        (["host", "--alias", "A_b"], ["--alias", "A_b", "a-z"]),
        (["host", "--authorized-keys", "/nowhere/keys"], ["--authorized-keys", "/nowhere/keys"]),
        (["host", "--identity", "/nowhere/id"], ["--identity", "/nowhere/id"]),
        (["host", "--listen", "1.2.3.4:99999"], ["--listen", "99999"]),
        (["host", "--shell", "/nowhere"], ["--shell", "'/nowhere'"]),
        (["host", "--cwd", "/etc/passwd"], ["--cwd", "'/etc/passwd'", "directory"]),
        (["host", "--approval-timeout", "0"], ["--approval-timeout", "longer than 0"]),
        (["revoke", ""], ["''", "no name or id"]),
        (["kick", ".."], ["'..'", "no name or id"]),
        (["invite", "a", "--uses", "²"], ["--uses", "²"]),
        (["invite", "a", "--expires", ""], ["--expires"]),
        (["invite", "\udcff"], ["not valid UTF-8"]),
        (["host", "--default-role", "devloper"], ["--default-role", "did you mean 'developer'"]),
        (["host", "--relya", "x"], ["--relya"]),
        (["stauts"], ["stauts", "'status'"]),
        (["kick"], ["ID", "--all"]),
        (["--name", "../up", "status"], ["--name"]),
        (["relay", "--ports", "5-2"], ["--ports", "20000-20999"]),
        (["relay", "--http", "nonsense"], ["--http", "127.0.0.1:8080"]),
        (["relay", "--tls-cert", "/x.pem"], ["tls_key"]),
        (["--config", "/nowhere.toml", "host"], ["/nowhere.toml"]),
    ],
)
def test_wrong_flags(machine: Machine, arguments: list[str], words: list[str]) -> None:
    done = machine.run(*arguments)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[host]\nrelai = 'x'\n", ["host.relai", "did you mean 'relay'"]),
        ("[host]\nkeep_shells = 'long'\n", ["host.keep_shells", "12h", "long"]),
        ("[hots]\n", ["hots", "did you mean 'host'"]),
        ("[host\n", ["not valid TOML", "line 1"]),
        ("host = 3\n", ["host", "expected a table"]),
        ("[roles.ops]\ncapabilities = ['fly']\n", ["roles.ops", "fly"]),
        ("[roles.ops]\n", ["roles.ops", "capabilities is missing"]),
        ("[roles.viewer]\ncapabilities = ['view']\n", ["roles.viewer", "built in"]),
        ("[tui.keys]\ncopy = 3\n", ["tui.keys.copy"]),
        ("\xff", ["UTF-8"]),
    ],
)
def test_wrong_files(machine: Machine, text: str, words: list[str]) -> None:
    config = machine.folder / "c" / "config.toml"
    config.parent.mkdir()
    config.write_bytes(text.encode("latin-1"))
    done = machine.run("host")
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    for word in (str(config), *words):
        assert word in done.stderr


def test_a_secret_is_not_repeated_in_an_error(machine: Machine) -> None:
    done = machine.run("host", UPTUI_IDENTITY="-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
    assert done.returncode == 2
    assert "UPTUI_IDENTITY" in done.stderr
    assert "c2VjcmV0" not in done.stderr


def test_a_runtime_directory_that_cannot_be_is_named(machine: Machine) -> None:
    done = machine.run("host", UPTUI_RUNTIME_DIR="/proc/x")
    assert done.returncode == 1, done
    assert done.stderr.splitlines()[-1].startswith("uptui: /proc/x"), done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_told(machine: Machine) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "uptui", "--help"],
            env=machine.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "uptui: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["/nowhere/x"], 127, "there is no '/nowhere/x' that can be run"),
        (["sh", "-c", "exit 5"], 5, "with status 5"),
        (["sh", "-c", "kill -9 $$"], 137, "by SIGKILL"),
    ],
)
def test_a_shared_command_that_ends_early_tells_how(
    machine: Machine, command: list[str], code: int, said: str
) -> None:
    done = machine.run("host", "--", *command)
    assert done.returncode == code, done
    assert said in done.stderr


def test_a_port_in_use_is_named(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for command, flag, further in (
            ("host", "--listen", []),
            ("relay", "--http", ["--state", str(machine.folder / "relay")]),
        ):
            done = machine.run(command, flag, f"127.0.0.1:{port}", *further)
            assert done.returncode == 2, done
            assert f"uptui: {flag}: cannot listen on 127.0.0.1:{port}" in done.stderr


def test_without_a_terminal_the_ui_says_what_to_run(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 2, done
    assert done.stderr.startswith("uptui: stdin or stdout: this is no terminal; `uptui host`")


def test_a_damaged_state_file_is_named_and_kept(machine: Machine) -> None:
    state = machine.folder / "s" / "default"
    state.mkdir(parents=True)
    (state / "people.json").write_text('{"version": 1, "people": [')
    done = machine.run("host")
    assert done.returncode == 1
    assert "people.json" in done.stderr
    assert (state / "people.json").read_text() == '{"version": 1, "people": ['


def test_a_state_file_of_the_future_is_refused(machine: Machine) -> None:
    state = machine.folder / "s" / "default"
    state.mkdir(parents=True)
    (state / "session.json").write_text('{"version": 99}')
    done = machine.run("host")
    assert done.returncode == 1
    assert "later uptui" in done.stderr


def test_commands_without_a_daemon_say_so(machine: Machine) -> None:
    for command in (["status"], ["url"], ["clients"], ["stop"], ["rotate"], ["attach"]):
        done = machine.run(*command)
        assert done.returncode == 3, command
        assert "no uptui daemon is running" in done.stderr


def test_doctor_works_without_a_daemon(machine: Machine) -> None:
    checks = {check["name"]: check["status"] for check in machine.json("doctor")}
    assert checks["Shell"] == checks["State directory"] == "ok"
    assert checks["API"] == "skipped"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_name_that_the_locale_does_not_have_is_shown_all_the_same(
    machine: Machine, encoding: str
) -> None:
    listed = machine.folder / "listed"
    listed.write_text(f"{Path(machine.key).read_text().rsplit(' ', 1)[0]} Łukasz 渡\n")
    options = ("--authorized-keys", str(listed), "--unknown", "deny")
    string = machine.host(*options)[1]["strings"]["ssh-port"]
    assert machine.ssh(string, "true").returncode == 0
    for command in (["people"], ["log"], ["clients"], ["status"]):
        done = machine.run(*command, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
    assert "?" in machine.run("people", PYTHONIOENCODING=encoding).stdout
    told = json.loads(machine.run("people", "--json", PYTHONIOENCODING=encoding).stdout)
    assert "Łukasz 渡" in json.dumps(told, ensure_ascii=False)
