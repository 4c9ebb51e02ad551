"""Requests and their answers: roles of one's own, names, races, vouched keys, files."""

import subprocess

import pytest

from tests.network.people.conftest import Crowd, eventually

ROLES = """
[roles.reader]
capabilities = ["read"]
files_root = "{root}"

[roles.dropbox]
capabilities = ["read", "write"]
files_root = "{root}"

[roles.web]
capabilities = ["forward-local", "exec"]
forward_allow = ["127.0.0.1:{port}"]
"""


def test_a_role_of_ones_own_is_given_for_good(crowd: Crowd) -> None:
    root = crowd.folder / "files"
    root.mkdir()
    crowd.config(ROLES.format(root=root, port=1))
    strings = crowd.ask()
    first = crowd.start_ssh("rita", strings["ssh"], "true")
    wrong = crowd.run("approve", crowd.pending()["id"], "--role", "nothing")
    assert wrong.returncode == 5
    assert "reader" in wrong.stderr
    answer = ("--role", "reader", "--always", "--name", "Rita")
    assert crowd.run("approve", crowd.pending()["id"], *answer).returncode == 0
    assert "may not run commands" in first.communicate(timeout=30)[1]
    assert "may not run commands" in crowd.as_ssh("rita", strings["ssh"], "true").stderr
    [person] = crowd.json("people")
    assert (person["name"], person["role"]) == ("Rita", "reader")


def sftp(crowd: Crowd, who: str, string: str, *lines: str) -> "subprocess.CompletedProcess[str]":
    crowd.as_argv(who, "ssh x")
    program, *rest = string.split()
    argv = [program, "-F", str(crowd.folder / f"config-{who}"), "-b", "-", *rest]
    return subprocess.run(
        argv, input="\n".join(lines), capture_output=True, text=True, timeout=40, check=False
    )


@pytest.mark.parametrize(("role", "writes"), [("reader", False), ("dropbox", True)])
def test_rooted_and_read_only_files(crowd: Crowd, role: str, writes: bool) -> None:
    root = crowd.folder / "files"
    root.mkdir()
    (root / "inside").write_text("inside\n")
    (crowd.folder / "outside").write_text("outside\n")
    (root / "way-out").symlink_to(crowd.folder / "outside")
    crowd.config(ROLES.format(root=root, port=1))
    crowd.host("--unknown", "deny")
    invite = crowd.json("invite", "rita", "--role", role)
    string = invite["strings"]["sftp"]
    got, mine = crowd.folder / "got", crowd.folder / "mine"
    mine.write_text("mine\n")
    listed = sftp(crowd, "rita", string, "pwd", "ls -1")
    assert listed.returncode == 0, listed.stderr
    assert "inside" in listed.stdout
    assert sftp(crowd, "rita", string, f"get inside {got}").returncode == 0
    assert got.read_text() == "inside\n"
    for path in ("way-out", "../outside", str(crowd.folder / "outside")):
        assert sftp(crowd, "rita", string, f"get {path} {got}").returncode != 0, path
    assert got.read_text() == "inside\n"
    put = sftp(crowd, "rita", string, f"put {mine} put")
    assert (put.returncode == 0) == writes, put.stderr
    assert (root / "put").exists() == writes
    assert (sftp(crowd, "rita", string, "rm inside").returncode == 0) == writes
    transfers = [e for e in crowd.api("GET", "/v1/log?limit=200") if e["event"].startswith("file.")]
    assert any("inside" in entry["text"] for entry in transfers)


def test_wrong_patterns_are_told_at_the_start(crowd: Crowd) -> None:
    crowd.config('[roles.web]\ncapabilities = ["forward-local"]\nforward_allow = ["db:x-y"]\n')
    refused = crowd.run("host")
    assert refused.returncode == 2
    assert "roles.web.forward_allow" in refused.stderr
    assert "db:x-y" in refused.stderr


def test_approved_while_it_gives_up(crowd: Crowd) -> None:
    strings = crowd.ask()
    client = crowd.window("bob", strings["ssh"])
    waiting = crowd.pending()
    client.type("\x03")
    assert client.ends() == 130
    late = crowd.run("approve", waiting["id"])
    assert late.returncode == 5
    assert "waits any more" in late.stderr
    assert crowd.snapshot()["pending"] == []


def test_a_lost_client_is_shown_and_finds_itself_approved(crowd: Crowd) -> None:
    strings = crowd.ask()
    client = crowd.start_ssh("bob", strings["ssh"], "echo in")
    waiting = crowd.pending()
    client.kill()
    client.wait(10)
    eventually(lambda: not crowd.pending()["present"], "it is seen that the client left")
    assert "left, may come back" in crowd.run("clients").stdout
    assert crowd.run("approve", waiting["id"]).returncode == 0
    assert crowd.as_ssh("bob", strings["ssh"], "echo in").stdout == "in\n"


def test_silence_means_no(crowd: Crowd) -> None:
    strings = crowd.ask("--approval-timeout", "2s")
    refused = crowd.as_ssh("bob", strings["ssh"], "echo in")
    assert refused.stdout == ""
    assert "the answer is no" in refused.stderr
    assert crowd.told("request.expired")


def test_few_may_wait_from_one_address(crowd: Crowd) -> None:
    strings = crowd.ask()
    for who in ("a", "b", "c"):
        crowd.start_ssh(who, strings["ssh"], "true")
    eventually(lambda: len(crowd.snapshot()["pending"]) == 3, "three wait")
    refused = crowd.as_ssh("d", strings["ssh"], "true")
    assert "wait for the host already" in refused.stderr
    assert len(crowd.snapshot()["pending"]) == 3


def test_plain_is_vouched_and_e2e_only_refuses_it(crowd: Crowd) -> None:
    strings = crowd.ask()
    client = crowd.start_ssh("bob", strings["ssh-plain"], "cat")
    assert crowd.pending()["verification"] == "vouched"
    assert crowd.run("approve", crowd.pending()["id"]).returncode == 0
    eventually(crowd.clients, "bob to be in")
    assert crowd.clients()[0]["verification"] == "vouched"
    client.communicate(timeout=30)
    assert crowd.run("settings", "e2e_only", "true").returncode == 0
    eventually(lambda: "ssh-plain" not in crowd.api("GET", "/v1/url")["strings"], "no such string")
    talking = strings["ssh-plain"].replace("ssh ", "ssh -o LogLevel=INFO ")
    refused = crowd.as_ssh("bob", talking, "echo in")
    assert refused.stdout == ""
    assert "only reachable end to end" in refused.stderr
    assert crowd.as_ssh("bob", strings["ssh-port"], "echo in").stdout == "in\n"


def test_a_proof_is_not_replaced_by_the_relays_word(crowd: Crowd) -> None:
    strings = crowd.ask()
    proved = crowd.start_ssh("bob", strings["ssh-port"], "echo in")
    assert crowd.pending()["verification"] == "proved"
    assert crowd.run("approve", crowd.pending()["id"]).returncode == 0
    assert proved.communicate(timeout=30)[0] == "in\n"
    crowd.start_ssh("bob", strings["ssh-plain"], "echo in")
    assert crowd.pending()["verification"] == "vouched"


def test_what_a_role_forbids_is_on_record(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny")
    made = crowd.json("invite", "paul", "--role", "pair")
    assert crowd.as_ssh("paul", made["strings"]["ssh"], "cat /etc/shadow").returncode == 77
    refused = crowd.told("session.refused")
    assert (refused["name"], refused["way"], refused["level"]) == ("paul", "port", "warning")
    assert refused["data"]["command"] == "cat /etc/shadow"
    assert "may not run commands" in refused["text"]
    bad = crowd.as_ssh("eve", made["strings"]["ssh"], "true")
    assert bad.returncode == 77
    assert crowd.events().count("session.refused") == 1, "who is not in is client.refused"
