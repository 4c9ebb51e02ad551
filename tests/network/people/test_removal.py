"""Kick, kick all, block, rotate and kick, stop: nothing of theirs goes on. A lost client's does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.network.people.conftest import Crowd, Window, eventually
from tests.network.people.test_terminals import shell_of


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def kick(crowd: Crowd) -> None:
    client = crowd.clients()[0]
    assert crowd.run("kick", client["id"], "-m", "go home").returncode == 0


def kick_all(crowd: Crowd) -> None:
    assert crowd.run("kick", "--all").returncode == 0


def block(crowd: Crowd) -> None:
    assert crowd.run("block", crowd.clients()[0]["id"]).returncode == 0


def rotate(crowd: Crowd) -> None:
    assert crowd.run("rotate", "--kick").returncode == 0


def stop(crowd: Crowd) -> None:
    assert crowd.run("stop").returncode == 0


def test_all_may_be_blocked_at_once(crowd: Crowd) -> None:
    strings = crowd.accept()
    client = crowd.window("bob", strings["ssh"])
    shell_of(client)
    assert crowd.run("kick", "--all", "--block").returncode == 0
    assert client.ends() != 0
    assert crowd.window("bob", strings["ssh"]).ends() != 0
    assert crowd.clients() == []


@pytest.mark.parametrize(
    ("remove", "said"),
    [
        (kick, "The host disconnected you: go home"),
        (kick_all, "The host disconnected you."),
        (block, "The host disconnected you."),
        (rotate, "everybody disconnected"),
        (stop, "The host has stopped sharing."),
    ],
)
def test_who_is_removed_leaves_no_shell(
    crowd: Crowd, remove: Callable[[Crowd], None], said: str
) -> None:
    strings = crowd.accept()
    client = crowd.window("bob", strings["ssh"])
    pid = shell_of(client)
    remove(crowd)
    assert client.ends() != 0
    assert said in client.seen
    eventually(lambda: gone(pid), "the shell to end")
    if remove is not stop:
        assert crowd.terminals() == []
        assert crowd.clients() == []
        assert "shell.kept" not in crowd.events()


def test_a_block_ends_kept_shells_and_holds(crowd: Crowd) -> None:
    strings = crowd.ask()
    client = crowd.window("bob", strings["ssh"])
    waiting = crowd.pending()
    assert crowd.run("approve", waiting["id"], "--always", "--name", "Bob B").returncode == 0
    pid = shell_of(client)
    client.lose()
    eventually(crowd.terminals, "the shell to be kept")
    assert not gone(pid)
    assert crowd.run("block", "Bob B").returncode == 0
    eventually(lambda: gone(pid), "the kept shell to end")
    assert crowd.terminals() == []
    refused = crowd.as_ssh("bob", strings["ssh"], "true")
    assert refused.returncode == 255
    assert crowd.run("unblock", "Bob B").returncode == 0
    assert crowd.as_ssh("bob", strings["ssh"], "echo in").stdout == "in\n"
    assert crowd.run("rename", "Bob B", "robert").returncode == 0
    assert crowd.run("role", "robert", "pair").returncode == 0
    [person] = crowd.json("people")
    assert (person["name"], person["role"]) == ("robert", "pair")
    assert crowd.run("forget", "robert").returncode == 0
    assert crowd.json("people") == []
    assert crowd.run("forget", "robert").returncode == 5


def test_a_lost_client_comes_back_to_its_shell_through_the_relay(crowd: Crowd) -> None:
    strings = crowd.accept()
    client = crowd.window("bob", strings["ssh"])
    pid = shell_of(client)
    client.lose()
    eventually(crowd.terminals, "the shell to be kept")
    other = crowd.window("eve", strings["ssh"])
    assert shell_of(other) != pid
    assert "kept" not in other.seen
    back = crowd.window("bob", strings["ssh"], "uptui", "shells")
    assert shell_of(back) == pid
    back.type("exit 4\r")
    assert back.ends() == 4
    assert gone(pid)


def test_a_kick_while_waiting_is_a_no(crowd: Crowd) -> None:
    strings = crowd.ask()
    client = crowd.start_ssh("bob", strings["ssh"], "echo in")
    assert crowd.run("kick", crowd.pending()["client_id"]).returncode == 0
    out, err = client.communicate(timeout=30)
    assert out == ""
    assert "declined" in err
    assert client.returncode != 0


def test_a_demoted_developer_is_told_and_a_promoted_viewer_types(crowd: Crowd) -> None:
    strings = crowd.accept()
    client: Window = crowd.window("bob", strings["ssh"])
    pid = shell_of(client)
    one = crowd.clients()[0]
    assert crowd.run("role", one["id"], "viewer").returncode == 0
    client.shows("your role is viewer now")
    client.ends()
    eventually(lambda: gone(pid), "the shell to end")
    again = crowd.window("bob", strings["ssh"])
    eventually(crowd.terminals, "the shared terminal to run")
    again.type("echo no\r")
    again.shows("you are watching")
    assert crowd.run("role", crowd.clients()[0]["id"], "pair").returncode == 0
    eventually(lambda: crowd.terminals()[0]["typists"] == 1, "they may type")
    again.type("echo typed-$((40+2))\r")
    again.shows("typed-42")
