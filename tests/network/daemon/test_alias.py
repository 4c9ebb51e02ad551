"""Lasting names by the real commands: owned, kept, handed over, pinned to a host key."""

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.network.daemon.test_link import RelayProcess, wait_for

NAME = "demo-box"


@pytest.fixture
def other(tmp_path: Path) -> Generator[Machine]:
    """Another container, with directories and an identity of its own."""
    folder = tmp_path / "o"
    folder.mkdir()
    made = Machine(folder)
    try:
        yield made
    finally:
        made.run("stop")
        made.close()


def strict(machine: Machine) -> None:
    """From now on ssh takes only host keys that it knows."""
    config = machine.folder / "ssh_config"
    config.write_text(config.read_text().replace("accept-new", "yes"))


def identity(machine: Machine) -> Path:
    return machine.folder / "s" / "default" / "identity"


def public_key(machine: Machine) -> str:
    ready: dict[str, Any] = machine.url()
    return str(ready["host_key"])


def test_a_name_of_somebody_else_is_refused_with_others_that_are_free(
    machine: Machine, other: Machine
) -> None:
    relay = RelayProcess(machine)
    machine.share("--relay", relay.url, "--alias", NAME)
    process, ready = other.host("--relay", relay.url, "--alias", NAME)
    assert ready["name"] != NAME
    refusals = other.json("status")["relay"]["refused"]
    assert len(refusals) == 1
    assert refusals[0].startswith(f"{NAME}: the alias 'demo-box' belongs to somebody else")
    assert "belongs to somebody else" in (other.folder / "host.log").read_text()
    claimed = other.run("alias", "claim", NAME)
    assert claimed.returncode == 5
    assert "belongs to somebody else" in claimed.stderr
    free = other.json("alias", "list")
    assert free == []
    checked = other.run("alias", "check", NAME)
    assert checked.returncode == 1
    suggestion = checked.stdout.strip().rpartition("; free: ")[2].split(", ")[0]
    assert suggestion in claimed.stderr
    assert suggestion in refusals[0]
    taken = other.json("alias", "claim", suggestion)
    assert taken["name"] == suggestion
    assert process.poll() is None


def test_without_a_share_the_relay_is_asked_directly(machine: Machine, other: Machine) -> None:
    relay = RelayProcess(machine)
    at = ("--relay", relay.url, "alias")
    assert machine.run(*at, "check", NAME).stdout == "free\n"
    made = machine.json(*at, "claim", NAME)
    assert (made["name"], made["online"]) == (NAME, False)
    assert any("ssh-ed25519" in line for line in made["known_hosts"])
    refused = other.run(*at, "claim", NAME)
    assert refused.returncode == 1
    assert "; free: " in refused.stderr
    assert [alias["name"] for alias in machine.json(*at, "list")] == [NAME]
    assert "belongs to somebody else" in other.run(*at, "release", NAME).stderr
    assert machine.json(*at, "release", NAME) == {"ok": True}
    assert other.run(*at, "claim", NAME).returncode == 0
    assert other.run("alias", "list").returncode == 3


@pytest.mark.parametrize("how", ["release", "transfer"])
def test_a_name_that_is_taken_away_is_not_shown_any_more(
    machine: Machine, other: Machine, how: str
) -> None:
    """Not by this share, which is told at once and goes on under its token."""
    relay = RelayProcess(machine)
    ready = machine.share("--relay", relay.url, "--alias", NAME)
    other.host("--relay", relay.url)
    to = (public_key(other),) if how == "transfer" else ()
    assert ready["name"] == NAME
    done = machine.run("--relay", relay.url, "alias", how, NAME, *to)
    assert done.returncode == 0, done.stderr

    def moved() -> Any:
        now = machine.url()
        return now if now["name"] != NAME and now["ways"].get("port") else None

    now = eventually(moved, "another address", 5.0)
    assert NAME not in now["strings"]["ssh"]
    [refused] = machine.json("status")["relay"]["refused"]
    assert refused.startswith(f"{NAME}: the alias ")
    assert f"{NAME} is not ours any more" in machine.run("log").stdout
    assert machine.ssh(now["strings"]["ssh"], "echo", "in").stdout == "in\n"
    if how == "release":
        assert machine.run("alias", "claim", NAME).returncode == 0
        assert machine.url()["name"] == NAME


def test_address_and_host_key_survive_host_relay_and_container(
    machine: Machine, other: Machine
) -> None:
    relay = RelayProcess(machine)
    flags = ("--relay", relay.url, "--alias", NAME)
    first = machine.share(*flags)
    string = first["strings"]["ssh"]
    assert machine.ssh(string, "echo one").stdout == "one\n"
    strict(machine)
    assert machine.run("stop").returncode == 0
    assert machine.share(*flags)["strings"]["ssh"] == string
    assert machine.ssh(string, "echo host").stdout == "host\n"
    relay.kill()
    wait_for(machine, "retry")
    relay.start()
    wait_for(machine, "up")
    assert machine.ssh(string, "echo relay").stdout == "relay\n"
    secret = identity(machine).read_text()
    assert machine.run("stop").returncode == 0
    rebuilt = other.host(
        *("--authorized-keys", machine.key, "--unknown", "deny", *flags), UPTUI_IDENTITY=secret
    )[1]
    assert rebuilt["strings"]["ssh"] == string
    assert rebuilt["host_key"] == first["host_key"]
    assert machine.ssh(string, "echo rebuilt").stdout == "rebuilt\n"


def test_a_second_container_takes_over_once_and_visibly(machine: Machine, other: Machine) -> None:
    relay = RelayProcess(machine)
    flags = ("--relay", relay.url, "--alias", NAME)
    first = machine.share(*flags)
    secret = identity(machine).read_text()
    taker = other.host(*flags, UPTUI_IDENTITY=secret)[1]
    assert taker["strings"]["ssh"] == first["strings"]["ssh"]
    lost = wait_for(machine, "superseded")
    assert "another uptui daemon with the same identity took over" in lost["reason"]
    assert "another uptui daemon with the same identity" in machine.run("log").stdout
    assert "took over from another daemon of this identity" in other.run("log").stdout
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert machine.json("status")["relay"]["status"] == "superseded"
        assert other.json("status")["relay"]["status"] == "up"
    assert other.json("status")["relay"]["reconnects"] == []


def test_an_alias_moves_to_another_identity_and_its_key_is_rotated_by_the_new_owner(
    machine: Machine, other: Machine
) -> None:
    relay = RelayProcess(machine)
    ready = machine.share("--relay", relay.url, "--alias", NAME)
    port = ready["ways"]["port"]["port"]
    other.share("--relay", relay.url)
    moved = machine.json("alias", "transfer", NAME, public_key(other))
    assert moved["port"] == port
    assert machine.url()["name"] != NAME
    refused = other.run("alias", "claim", NAME)
    assert refused.returncode == 5
    assert "uptui alias rotate-key" in refused.stderr
    kept = other.json("alias", "rotate-key", NAME)
    assert any(public_key(other) in line for line in kept["known_hosts"])
    assert other.json("alias", "claim", NAME)["ways"]["port"]["port"] == port
    assert "belongs to somebody else" in machine.run("alias", "rotate-key", NAME).stderr
    assert "nobody's alias yet" in machine.run("alias", "rotate-key", "mistyped").stderr
    bad = machine.run("alias", "transfer", NAME, "no-such-file")
    assert bad.returncode == 2
    assert "no-such-file" in bad.stderr


def test_an_unused_alias_is_free_again_after_its_time(machine: Machine, other: Machine) -> None:
    machine.env["UPTUI_RELAY_ALIAS_TTL"] = "3s"
    relay = RelayProcess(machine)
    del machine.env["UPTUI_RELAY_ALIAS_TTL"]
    at = ("--relay", relay.url, "alias")
    assert machine.run(*at, "claim", NAME).returncode == 0
    assert other.run(*at, "claim", NAME).returncode == 1
    eventually(lambda: other.run(*at, "claim", NAME).returncode == 0, "the alias expires")
