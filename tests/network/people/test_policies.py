"""When a share ends or changes its address by itself, with short times and real clients."""

import time

from tests.network.people.conftest import Crowd, eventually
from tests.network.people.test_terminals import shell_of


def ended(crowd: Crowd) -> float:
    """Seconds until the daemon has ended by itself."""
    started = time.monotonic()
    assert crowd.processes[0].wait(30) == 0
    return time.monotonic() - started


def last_words(crowd: Crowd) -> list[str]:
    target = crowd.folder / "record.jsonl"
    assert crowd.run("log", "--export", str(target)).returncode == 0
    return target.read_text().splitlines()


def test_it_ends_when_nobody_came(crowd: Crowd) -> None:
    crowd.accept("--stop-if-unused", "4s")
    assert "nobody was connected" in crowd.run("status").stdout
    share = crowd.snapshot()["share"]
    assert share["stop_reason"] == "nobody was connected for 4 s"
    assert 0 < share["stops_at"] - time.time() <= 4
    assert ended(crowd) < 10
    words = last_words(crowd)
    assert any('"share.warning"' in line for line in words)
    assert any('"share.ended"' in line for line in words)
    assert crowd.run("status").returncode == 3


def test_a_client_keeps_it_and_is_warned(crowd: Crowd) -> None:
    strings = crowd.accept("--stop-if-unused", "3s")
    inside = crowd.start_ssh("bob", strings["ssh"], "cat")
    eventually(crowd.clients, "bob to be in")
    time.sleep(4)  # longer than the rule allows nobody to be there
    assert crowd.snapshot()["share"]["status"] == "sharing"
    inside.communicate(timeout=20)
    assert ended(crowd) < 12


def test_an_idle_shell_is_warned_and_ended(crowd: Crowd) -> None:
    strings = crowd.accept("--stop-if-idle", "4s")
    client = crowd.window("bob", strings["ssh"])
    shell_of(client)
    client.shows("this share ends in")
    client.shows("nobody did anything for 4 s")
    assert ended(crowd) < 15
    client.ends()
    assert "The host has stopped sharing." in client.seen


def test_an_editor_counts_as_somebody(crowd: Crowd) -> None:
    """Its command and its tunnels are open, though nothing is typed."""
    strings = crowd.accept("--stop-if-idle", "2s")
    editor = crowd.start_ssh("bob", strings["ssh"], "sleep 5")
    assert editor.wait(30) == 0
    assert ended(crowd) < 12


def test_it_ends_at_a_time_and_the_shared_terminal_is_warned_gently(crowd: Crowd) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 8))
    strings = crowd.accept("--stop-at", at, "--landing", "shared")
    client = crowd.window("bob", strings["ssh"])
    client.shows(" uptui: this share ends in")
    assert "[uptui] this share" not in client.seen
    assert ended(crowd) < 20
    client.ends()


def test_the_token_rotates_by_itself_and_who_is_in_stays(crowd: Crowd) -> None:
    strings = crowd.accept("--rotate-every", "3s")
    inside = crowd.start_ssh("bob", strings["ssh"], "cat")
    assert inside.stdin is not None
    assert inside.stdout is not None
    inside.stdin.write("a\n")
    inside.stdin.flush()
    assert inside.stdout.readline() == "a\n"
    eventually(lambda: crowd.api("GET", "/v1/url")["strings"] not in ({}, strings), "a new token")
    assert crowd.as_ssh("bob", strings["ssh-port"], "true").returncode == 255
    inside.stdin.write("b\n")
    inside.stdin.flush()
    assert inside.stdout.readline() == "b\n"
    assert "token.rotated" in crowd.events()
