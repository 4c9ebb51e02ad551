"""What a relay asks for before it lets a host in, and what a host does when it is refused."""

import http.server
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.network.daemon.test_link import RelayProcess, relay_state, wait_for

TOKEN = "correct-horse-battery-staple"


def test_a_wrong_join_token_is_said_once_a_minute(machine: Machine) -> None:
    relay = RelayProcess(machine, "--hosting", "join-token", "--join-token", TOKEN)
    wrong = ("--relay", relay.url, "--join-token", "wrong-token")
    machine.start("host", *wrong, log="host.log")
    found = wait_for(machine, "retry")
    assert "join token" in found["reason"]
    assert found["retry_at"] - time.time() > 40
    shown = machine.run("status", "--json").stdout + (machine.folder / "host.log").read_text()
    assert "wrong-token" not in shown


@pytest.mark.parametrize("kind", ["variable", "flag", "file"])
def test_a_join_token_by_variable_flag_and_file(machine: Machine, kind: str) -> None:
    relay = RelayProcess(machine, "--hosting", "join-token", "--join-token", TOKEN)
    secret = machine.folder / "token"
    secret.write_text(f"{TOKEN}\n")
    flags = {
        "variable": (),
        "flag": ("--join-token", TOKEN),
        "file": ("--join-token", f"@{secret}"),
    }
    env = {"UPTUI_JOIN_TOKEN": TOKEN} if kind == "variable" else {}
    ready = machine.host("--relay", relay.url, *flags[kind], **env)[1]
    assert ready["ways"]["jump"]


def test_a_token_file_that_is_not_there_is_named(machine: Machine) -> None:
    done = machine.run("host", "--relay", "https://relay.invalid", "--join-token", "@/no/such/file")
    assert done.returncode == 2
    assert "/no/such/file" in done.stderr


def admin(machine: Machine, relay: RelayProcess, *arguments: str) -> str:
    done = machine.run(
        *("relay", *arguments),
        UPTUI_RELAY_API=relay.url,
        UPTUI_RELAY_STATE=str(machine.folder / "relay"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_account_token_lets_in_until_it_is_revoked(machine: Machine) -> None:
    relay = RelayProcess(machine, "--hosting", "accounts")
    admin(machine, relay, "account", "set", "team-a")
    issued = admin(machine, relay, "token", "issue", "team-ci", "--account", "team-a")
    token = next(word for word in issued.split() if word.startswith("uptr_") or len(word) > 30)
    secret = machine.folder / "token"
    secret.write_text(token)
    machine.share("--relay", relay.url, "--join-token", f"@{secret}", "--alias", "demo-box")
    assert machine.json("alias", "list")[0]["name"] == "demo-box"
    admin(machine, relay, "token", "revoke", "team-ci")
    machine.run("reconnect")
    found = eventually(
        lambda: (now := relay_state(machine))["status"] in {"retry", "down"} and now, "refused"
    )
    assert found["reason"]
    assert found["retry_at"] is None or found["retry_at"] - time.time() > 40
    assert token not in json.dumps(found)


@contextmanager
def answering(status: int, headers: dict[str, str]) -> Generator[tuple[str, list[float]]]:
    """A server that refuses everything; its URL and when it was asked."""
    asked: list[float] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(time.monotonic())
            info = {
                "service": "uptui-relay", "version": "1", "protocol": 1, "hosting": "open",
                "public_host": "relay", "ssh_port": None, "port_first": None, "port_last": None,
            }  # fmt: skip
            self._answer(200, info, {})

        def do_POST(self) -> None:
            body = {"type": "busy", "title": "busy", "status": status, "detail": "come back later"}
            self._answer(status, body, headers)

        def _answer(self, code: int, body: dict[str, Any], further: dict[str, str]) -> None:
            self.send_response(code)
            for name, text in further.items():
                self.send_header(name, text)
            content = json.dumps(body).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_retry_after_is_respected(machine: Machine) -> None:
    with answering(429, {"Retry-After": "5"}) as (url, asked):
        machine.start("host", "--relay", url, log="host.log")
        found = wait_for(machine, "retry")
        assert "come back later" in found["reason"]
        eventually(lambda: len(asked) >= 2, "asked again")
        assert 5.0 <= asked[1] - asked[0] < 9.0
