"""Invites on the three ways in, with roles and landings, raced, bound, revoked, restarted."""

import pytest

from tests.network.people.conftest import Crowd, eventually

WAYS = ("ssh-port", "ssh-jump", "ssh-plain")


@pytest.mark.parametrize("way", WAYS)
def test_role_and_landing_hold_on_every_way(crowd: Crowd, way: str) -> None:
    crowd.host("--unknown", "deny", "--plain-invites")
    shell = crowd.json("invite", "dora", "--landing", "shell")
    shared = crowd.json("invite", "paul", "--role", "pair", "--landing", "shared")
    command = crowd.json("invite", "carl", "--landing", "command: echo only-this-$((40+2))")
    only = crowd.window("carl", command["strings"][way])
    assert only.ends() == 0
    assert "only-this-42" in only.seen
    assert crowd.as_ssh("dora", shell["strings"][way], "echo hi").stdout == "hi\n"
    refused = crowd.as_ssh("paul", shared["strings"][way], "echo hi")
    assert "may not run commands" in refused.stderr
    paul = crowd.window("paul", shared["strings"][way])
    paul.type("echo shared-$((40+2)) $UPTUI_TERMINAL\r")
    paul.shows("shared-42 shared")
    joined = crowd.told("client.joined")
    assert joined["way"] == way.removeprefix("ssh-")
    assert joined["name"] == "paul"
    assert joined["data"]["role"] == "pair"
    assert joined["data"]["user"].endswith("-…")


def test_two_at_once_for_the_last_use(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny")
    made = crowd.json("invite", "guest", "--any-key", "--uses", "2")
    string = made["strings"]["ssh"]
    guests = [crowd.start_ssh(f"guest{n}", string, "echo in") for n in range(5)]
    answers = [guest.communicate(timeout=40) for guest in guests]
    assert sorted(out for out, _ in answers) == ["", "", "", "in\n", "in\n"]
    assert all("already used" in err for out, err in answers if not out)
    [invite] = crowd.api("GET", "/v1/invites")
    assert (invite["state"], invite["used"], invite["uses_left"]) == ("used-up", 2, 0)


def test_the_first_key_owns_an_invite(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny", "--plain-invites")
    made = crowd.json("invite", "bob")
    for way in WAYS:
        assert crowd.as_ssh("bob", made["strings"][way], "echo in").stdout == "in\n"
    refused = crowd.as_ssh("eve", made["strings"]["ssh"], "echo in")
    assert refused.stdout == ""
    assert "already used with another key" in refused.stderr


def test_revoking_one_leaves_the_other_and_who_is_in(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny")
    one = crowd.json("invite", "one")
    two = crowd.json("invite", "two")
    inside = crowd.start_ssh("one", one["strings"]["ssh"], "cat")
    assert inside.stdin is not None
    assert inside.stdout is not None
    inside.stdin.write("here\n")
    inside.stdin.flush()
    assert inside.stdout.readline() == "here\n"
    assert crowd.run("revoke", "one").returncode == 0
    assert crowd.as_ssh("one", one["strings"]["ssh-port"], "true").returncode != 0
    assert crowd.as_ssh("two", two["strings"]["ssh-port"], "true").returncode == 0
    inside.stdin.write("still\n")
    inside.stdin.flush()
    assert inside.stdout.readline() == "still\n"


def test_a_short_invite_expires(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny")
    made = crowd.json("invite", "late", "--expires", "1s")
    eventually(lambda: crowd.api("GET", "/v1/invites")[0]["state"] == "expired", "it expires")
    late = crowd.as_ssh("late", made["strings"]["ssh-port"], "true")
    assert late.returncode != 0
    assert "expired" in late.stderr


def test_the_text_for_newcomers_and_the_code(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny")
    text = crowd.run("invite", "newcomer", "--role", "pair", "--expires", "2h", "--text").stdout
    assert text.startswith("Hello newcomer, you are invited to work in a shared terminal.")
    assert "ssh-keygen -t ed25519" in text
    [string] = [line.strip() for line in text.splitlines() if line.startswith("    ssh -p")]
    seen = crowd.window("newcomer", string)
    eventually(crowd.clients, "the newcomer to be in by the command in the text")
    assert crowd.clients()[0]["name"] == "newcomer", seen.seen
    code = crowd.run("invite", "phone", "--qr").stdout
    assert "█" in code
    assert len(code.splitlines()) > 15


def test_all_that_was_decided_survives_a_restart(crowd: Crowd) -> None:
    crowd.ask()
    strings = crowd.json("alias", "claim", "kept-name")["strings"]
    for who, answer in (("anna", ("approve", "--always", "--name", "Anna")), ("mo", ("deny",))):
        client = crowd.start_ssh(who, strings["ssh"], "echo in")
        verb, *rest = answer
        block = ["--block"] if verb == "deny" else []
        assert crowd.run(verb, crowd.pending()["id"], *rest, *block).returncode == 0
        client.communicate(timeout=30)
    invite = crowd.json("invite", "bob", "--role", "developer")
    revoked = crowd.json("invite", "gone")
    assert crowd.run("revoke", "gone").returncode == 0
    assert crowd.run("lock").returncode == 0
    before = crowd.snapshot()
    assert crowd.run("stop").returncode == 0
    again = crowd.ask()
    after = crowd.snapshot()
    assert again["ssh"] == strings["ssh"]
    assert after["share"]["locked"] is True
    assert after["share"]["alias"] == "kept-name"
    assert after["share"]["token"] == before["share"]["token"]
    assert after["people"] == before["people"]
    assert [each["route"] for each in after["invites"]] == [
        each["route"] for each in before["invites"]
    ]
    assert "locked" in crowd.as_ssh("anna", again["ssh"], "true").stderr
    assert crowd.run("unlock").returncode == 0
    assert crowd.as_ssh("anna", again["ssh"], "echo in").stdout == "in\n"
    assert crowd.told("client.joined")["name"] == "Anna"
    assert crowd.as_ssh("mo", again["ssh"], "echo in").returncode == 255
    assert crowd.as_ssh("bob", invite["strings"]["ssh-port"], "echo in").stdout == "in\n"
    assert crowd.as_ssh("x", revoked["strings"]["ssh-port"], "echo in").returncode != 0


def test_what_was_decided_survives_a_crash(crowd: Crowd) -> None:
    strings = crowd.ask()
    client = crowd.start_ssh("anna", strings["ssh"], "echo in")
    assert crowd.run("approve", crowd.pending()["id"], "--always", "--name", "Anna").returncode == 0
    assert client.communicate(timeout=30)[0] == "in\n"
    invite = crowd.json("invite", "bob")
    assert crowd.as_ssh("bob", invite["strings"]["ssh"], "echo in").stdout == "in\n"
    token = crowd.snapshot()["share"]["token"]
    [daemon] = crowd.processes[:1]
    daemon.kill()
    daemon.wait(10)
    again = crowd.ask()
    assert crowd.snapshot()["share"]["token"] == token
    assert crowd.as_ssh("anna", again["ssh"], "echo in").stdout == "in\n"
    string = crowd.api("GET", "/v1/invites")[0]["strings"]["ssh"]
    assert "another key" in crowd.as_ssh("eve", string, "true").stderr
    assert crowd.as_ssh("bob", string, "echo in").stdout == "in\n"
