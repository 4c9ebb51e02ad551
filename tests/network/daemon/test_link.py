"""The link to a relay of its own process: losses, wrong addresses, refusals."""

import http.server
import json
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.ports import free_ports

AWAY = 6.0
"""Seconds that the relay is away: long enough for waits that double to exceed BACK."""
BACK = 5.0
"""Seconds after its return within which the strings work."""


class RelayProcess:
    """`uptui relay` on ports that stay the same over restarts."""

    def __init__(self, machine: Machine, *further: str, single: bool = False) -> None:
        self.machine = machine
        self.http, self.ssh, first, _, last = free_ports(5)
        front = ("--http", f"127.0.0.1:{self.http}", "--ssh", f"127.0.0.1:{self.ssh}")
        self.announced = ""
        """The URL that hosts join with, as the relay printed it."""
        self._arguments = (
            *("relay", *(("--single", f"127.0.0.1:{self.http}") if single else front)),
            *("--ports", f"{first}-{last}", "--public-host", "127.0.0.1", "--json"),
            *("--state", str(machine.folder / "relay"), "--log-level", "WARNING", *further),
        )
        self.process = self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def start(self) -> "subprocess.Popen[str]":
        self.process = self.machine.start(*self._arguments, log="relay.log")
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.machine.folder / "relay.log").read_text()
        ready = json.loads(line)
        assert ready["event"] == "ready"
        self.announced = ready["url"]
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def relay_state(machine: Machine) -> Any:
    return machine.json("status")["relay"]


def wait_for(machine: Machine, status: str) -> Any:
    def look() -> Any:
        done = machine.run("status", "--json")
        found = json.loads(done.stdout)["relay"] if done.returncode == 0 else None
        return found if found is not None and found["status"] == status else None

    return eventually(look, f"the link is {status}")


def test_a_killed_relay_comes_back_and_the_strings_are_the_same(machine: Machine) -> None:
    relay = RelayProcess(machine)
    ready = machine.share("--relay", relay.url)
    relay.kill()
    lost = wait_for(machine, "retry")
    assert lost["reason"]
    assert lost["retry_at"] is not None
    assert machine.url()["strings"] == ready["strings"]
    relay.start()
    back = wait_for(machine, "up")
    assert len(back["reconnects"]) == 1
    assert machine.url()["strings"] == ready["strings"]
    for way in ("ssh-port", "ssh-jump", "ssh-plain"):
        assert machine.ssh(ready["strings"][way], "echo back").stdout == "back\n", way


def test_a_relay_that_is_back_is_used_within_five_seconds(machine: Machine) -> None:
    relay = RelayProcess(machine)
    string = machine.share("--relay", relay.url)["strings"]["ssh-port"]
    relay.kill()
    wait_for(machine, "retry")
    time.sleep(AWAY)
    relay.start()
    back = time.monotonic()
    eventually(lambda: machine.ssh(string, "true").returncode == 0, "the string works", BACK)
    assert time.monotonic() - back < BACK


def test_a_rotation_without_the_relay_holds_and_gives_no_old_string(machine: Machine) -> None:
    relay = RelayProcess(machine)
    old = machine.share("--relay", relay.url)["strings"]
    relay.kill()
    wait_for(machine, "retry")
    rotated = machine.run("rotate", "--json")
    assert (rotated.returncode, rotated.stdout) == (1, "")
    assert "the relay has not given the new one yet" in rotated.stderr
    assert machine.run("url").stdout == ""
    relay.start()
    wait_for(machine, "up")
    new = eventually(lambda: machine.url()["strings"], "the new strings")
    assert machine.ssh(new["ssh"], "true").returncode == 0
    assert machine.ssh(old["ssh"], "true").returncode == 255


def test_a_session_on_the_host_outlives_the_loss_of_the_control_channel(machine: Machine) -> None:
    relay = RelayProcess(machine)
    machine.share("--relay", relay.url)
    assert machine.run("reconnect").returncode == 0
    back = eventually(
        lambda: len(relay_state(machine)["reconnects"]) == 1 and relay_state(machine), "reconnected"
    )
    assert back["reconnects"][0]["reason"] == "asked to connect again"
    assert wait_for(machine, "up")["reason"] == ""


def test_streams_go_by_websocket_when_told_to(machine: Machine) -> None:
    relay = RelayProcess(machine)
    ready = machine.share("--relay", relay.url, "--transport", "websocket")
    found = relay_state(machine)
    assert (found["transport"], found["transport_reason"]) == ("websocket", "the setting transport")
    for way in ("ssh-port", "ssh-jump", "ssh-plain"):
        done = machine.ssh(ready["strings"][way], "head -c 3000000 /dev/zero | tee /dev/stderr")
        assert len(done.stdout) == len(done.stderr) == 3_000_000, way


def test_a_relay_that_takes_no_raw_streams_is_used_by_websocket(machine: Machine) -> None:
    relay = RelayProcess(machine, "--websocket-only")
    ready = machine.share("--relay", relay.url)
    assert relay_state(machine)["transport_reason"] == "the relay takes no raw streams"
    assert machine.ssh(ready["strings"]["ssh"], "echo hi").stdout == "hi\n"


def test_another_identity_takes_another_token_and_ends_the_invites(machine: Machine) -> None:
    relay = RelayProcess(machine)
    old = machine.share("--relay", relay.url)["strings"]
    machine.json("invite", "alice")
    machine.run("stop")
    other = machine.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    new = machine.share("--relay", relay.url, "--identity", str(other))["strings"]
    assert machine.ssh(new["ssh"], "true").returncode == 0
    assert machine.ssh(old["ssh"], "true").returncode == 255
    assert machine.json("invites") == []
    assert "another identity than before" in machine.run("log").stdout
    machine.run("stop")
    again = machine.share("--relay", relay.url, "--identity", str(other))["strings"]
    assert again == new


def test_the_newest_daemon_of_an_identity_wins_and_the_older_stays_away(machine: Machine) -> None:
    relay = RelayProcess(machine)
    machine.share("--relay", relay.url)
    identity = str(machine.folder / "s" / "default" / "identity")
    newer = machine.start(
        *("--name", "newer", "host", "--json", "--relay", relay.url, "--identity", identity),
        log="newer.log",
    )
    assert newer.stdout is not None
    assert newer.stdout.readline()
    found = wait_for(machine, "superseded")
    assert found["retry_at"] is None
    assert "took over" in found["reason"]
    assert machine.json("--name", "newer", "status")["relay"]["status"] == "up"
    machine.run("reconnect")
    wait_for(machine, "up")


def test_a_relay_that_wants_a_token_says_so(machine: Machine) -> None:
    token = "correct-horse-battery-staple"
    relay = RelayProcess(machine, "--hosting", "join-token", "--join-token", token)
    process = machine.start("host", "--relay", relay.url, log="host.log")
    found = wait_for(machine, "retry")
    assert "token" in found["reason"]
    process.terminate()
    assert process.wait(20) == 0
    _, ready = machine.host("--relay", relay.url, UPTUI_JOIN_TOKEN=token)
    assert ready["ways"]
    rows = {row["key"]: row for row in machine.json("settings")}
    assert rows["host.join_token"]["value"] is None
    assert token not in machine.run("status", "--json").stdout


@contextmanager
def web_server(body: bytes) -> Generator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"service": "other"}', b"\xff\xfe"])
def test_something_that_is_no_relay_is_named_as_that(machine: Machine, body: bytes) -> None:
    with web_server(body) as url:
        machine.start("host", "--relay", url, log="host.log")
        found = wait_for(machine, "retry")
        assert "not as a uptui relay" in found["reason"]
        assert url in found["reason"]
        assert machine.run("doctor", "--json").returncode == 1


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1: Connection refused"),
        ("http://nowhere.invalid", "nowhere.invalid"),
        ("https://127.0.0.1:1#sha256=" + "0" * 64, "127.0.0.1:1"),
    ],
)
def test_an_unreachable_relay_is_retried_and_said(machine: Machine, url: str, word: str) -> None:
    machine.start("host", "--relay", url, log="host.log")
    found = wait_for(machine, "retry")
    assert word in found["reason"]
    checks = json.loads(machine.run("doctor", "--json").stdout)
    assert any(check["status"] == "failed" and word in check["detail"] for check in checks)
    eventually(lambda: word in (machine.folder / "host.log").read_text(), "it is on stderr, too")
    assert machine.json("url")["strings"] == {}
    assert machine.run("url").returncode == 3
