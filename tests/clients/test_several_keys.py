"""Clients with several keys, of which one is listed and the others are known to nobody."""

import contextlib
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.network.daemon.conftest import eventually
from tests.network.ides.conftest import new_machine
from tests.network.ides.desk import WAYS, Desk, desk_of, new_key
from tests.network.ides.test_other_clients import fingerprint
from tests.network.sshd import Sshd


@pytest.fixture(scope="module", params=["ask", "deny"])
def host(request: pytest.FixtureRequest) -> Generator[Desk]:
    """A host that lists the desk's key, and asks about others or does not."""
    with (
        new_machine() as machine,
        desk_of(machine, "--authorized-keys", machine.key, "--unknown", request.param) as desk,
    ):
        yield desk


@pytest.fixture(scope="module")
def asking() -> Generator[Desk]:
    """A host that asks about everybody."""
    with new_machine() as machine, desk_of(machine, "--unknown", "ask") as desk:
        yield desk


def unknown_key(desk: Desk, name: str) -> Path:
    path = desk.folder / name
    if not path.exists():
        new_key(path)
    return path


def openssh(desk: Desk, way: str, keys: list[Path], *options: str) -> list[str]:
    """ssh that shows these keys, in this order; a jump's own login shows none."""
    at = desk.ways[way]
    common = ["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
              "-o", "LogLevel=ERROR"]  # fmt: skip
    shown = [word for key in keys for word in ("-i", str(key))]
    only = ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"] if keys else []
    if way != "jump":
        where = ["-p", str(at["port"]), f"{at['user']}@{at['host']}"]
    else:
        proxy = " ".join(["ssh", *common, "-p", str(at["port"]), "-W", "%h:%p",
                          f"{at['user']}@{at['host']}"])  # fmt: skip
        where = ["-o", f"ProxyCommand={proxy}", at["target"]]
    return ["ssh", *common, *shown, *only, *options, *where]


def pending(desk: Desk) -> Any:
    return desk.machine.json("clients")["pending"]


@pytest.mark.parametrize("way", WAYS)
def test_the_second_of_two_keys_is_let_in_at_once(host: Desk, way: str) -> None:
    keys = [unknown_key(host, "other"), host.key]
    done = host.run(*openssh(host, way, keys, "-o", "BatchMode=yes"), "echo in")
    assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr
    assert not pending(host)


def test_sshd_lets_the_second_in(host: Desk, sshd: Sshd) -> None:
    sshd.authorized_keys.write_text(host.key.with_suffix(".pub").read_text())
    at = {"port": sshd.port, "user": sshd.user, "host": "127.0.0.1"}
    beside = Desk.__new__(Desk)
    beside.ways = {"port": at}
    keys = [unknown_key(host, "other"), host.key]
    assert host.ok(*openssh(beside, "port", keys, "-o", "BatchMode=yes"), "echo in") == b"in\n"


@contextlib.contextmanager
def agent_with(desk: Desk, name: str, *keys: Path) -> Generator[str]:
    """The socket of an agent that holds these keys."""
    agent = desk.folder / f"agent-{name}"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL)
    try:
        eventually(agent.exists, "the agent")
        for key in keys:
            desk.ok("ssh-add", "-q", str(key), SSH_AUTH_SOCK=str(agent))
        yield str(agent)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("way", WAYS)
def test_a_key_of_an_agent_is_let_in_whatever_comes_before_it(host: Desk, way: str) -> None:
    keys = (unknown_key(host, "other"), unknown_key(host, "third"), host.key)
    with agent_with(host, way, *keys) as agent:
        argv = openssh(host, way, [])
        assert host.ok(*argv, "echo in", SSH_AUTH_SOCK=agent) == b"in\n"
        assert not pending(host)


def approve(desk: Desk) -> None:
    (waiting,) = eventually(lambda: pending(desk), "somebody waits")
    assert desk.machine.run("approve", waiting["id"]).returncode == 0


@pytest.mark.parametrize("way", WAYS)
def test_without_a_listed_one_the_first_key_waits(asking: Desk, way: str) -> None:
    keys = [unknown_key(asking, f"first-{way}"), unknown_key(asking, f"second-{way}")]
    client = asking.start(*openssh(asking, way, keys), "echo in")
    (waiting,) = eventually(lambda: pending(asking), "somebody waits")
    listed = asking.ok("ssh-keygen", "-lf", f"{keys[0]}.pub").decode().split()[1]
    assert waiting["fingerprint"] == listed
    approve(asking)
    assert client.communicate(timeout=30)[0] == b"in\n"


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_client_with_one_unknown_key_waits_when_it_returns(asking: Desk, way: str) -> None:
    argv = openssh(asking, way, [unknown_key(asking, f"batch-{way}")], "-o", "BatchMode=yes")
    done = asking.run(*argv, "echo in")
    assert done.returncode == 255
    assert b"Permission denied (publickey,keyboard-interactive)" in done.stderr
    (waiting,) = eventually(lambda: pending(asking), "its request is shown")
    assert not waiting["present"]
    client = asking.start(*argv, "echo in")
    eventually(lambda: pending(asking)[0]["present"], "it waits")
    approve(asking)
    assert client.communicate(timeout=30)[0] == b"in\n"


def plink(desk: Desk, way: str) -> list[str]:
    """plink, which shows the keys of its agent."""
    at = desk.ways[way]
    common = ["plink", "-batch", "-hostkey"]
    where = f"{at['user']}@{at['host']}"
    if way != "jump":
        return [*common, fingerprint(desk, at), "-P", str(at["port"]), where]
    proxy = (f"plink -batch -hostkey {fingerprint(desk, at)} -noagent -P {at['port']} "
             f"-nc %host:%port {where}")  # fmt: skip
    trusted = asyncssh.import_public_key(desk.host_key).get_fingerprint()
    return [*common, trusted, "-proxycmd", proxy, f"dev@{at['target']}"]


@pytest.mark.parametrize("way", WAYS)
def test_plink_with_an_agent(host: Desk, way: str) -> None:
    first = unknown_key(host, "other")
    with agent_with(host, f"plink-{way}", first, host.key) as agent:
        argv = plink(host, way)
        done = host.ok(*argv, "echo in", SSH_AUTH_SOCK=agent, HOME=str(host.folder))
        assert done == b"in\n"
        assert not pending(host)


@pytest.mark.parametrize("way", WAYS)
def test_plink_with_unknown_keys_waits(asking: Desk, way: str) -> None:
    key = unknown_key(asking, f"plink-key-{way}")
    with agent_with(asking, f"plink-{way}", key) as agent:
        home = str(asking.folder)
        client = asking.start(*plink(asking, way), "echo in", SSH_AUTH_SOCK=agent, HOME=home)
        approve(asking)
        assert client.communicate(timeout=30)[0] == b"in\n"
