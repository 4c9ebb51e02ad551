"""A relay that tries to enter with all that it was ever told gets no shell."""

import asyncio
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncssh

from tests.network.daemon.test_link import RelayProcess
from tests.network.people.conftest import Crowd
from uptui.protocol.names import is_invite, split_secret

NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,}")
KNOCKS = 8
"""Connections of the attacker at the same time."""


class Recorded:
    """An honest relay but for its notebook."""

    def __init__(self, crowd: Crowd) -> None:
        self._book = crowd.folder / "told"
        crowd.under = (sys.executable, "-m", "tests.hostile.relay.recorder", str(self._book))
        self.relay = RelayProcess(crowd)
        crowd.under = ()

    def told(self) -> set[str]:
        """Every word that could be a name."""
        return set(NAME.findall(unquote(self._book.read_text())))

    def names(self, host: str) -> list[str]:
        """Those worth a try."""
        told = self.told()
        likely = {word for word in told if word.startswith(("inv-", host))}
        return sorted(likely | {word for word in told if len(word) >= 26 and "_" not in word})


def new_key() -> asyncssh.SSHKey:
    """Of somebody whom nobody knows."""
    return asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]


async def _enters(port: int, user: str, key: asyncssh.SSHKey, **how: object) -> str:
    """What a command prints, if it runs."""
    try:
        async with (
            asyncio.timeout(30),
            asyncssh.connect(
                "127.0.0.1" if "tunnel" not in how else str(how.pop("target")),
                port,
                username=user,
                client_keys=[key],
                known_hosts=None,
                agent_path=None,
                config=None,
                **how,  # pyright: ignore[reportArgumentType]
            ) as connection,
        ):
            return str((await connection.run("echo entered", check=False)).stdout)
    except (asyncssh.Error, OSError, TimeoutError) as error:
        return f"({type(error).__name__})"


async def knock(names: list[str], port: int, gateway: int) -> list[str]:
    """All that an unknown key gets to see with these names, on every way."""
    key = new_key()
    gate = asyncio.Semaphore(KNOCKS)

    async def one(user: str, target: str | None, at: int) -> str:
        async with gate:
            if target is None:
                return await _enters(at, user, key)
            async with asyncssh.connect(
                "127.0.0.1", gateway, username="jump", known_hosts=None, client_keys=[key],
                agent_path=None, config=None,
            ) as jump:  # fmt: skip
                return await _enters(22, user, key, tunnel=jump, target=target)

    tries = [one(user, None, at) for user, at in itertools.product(names, (port, gateway))]
    tries += [one(user, name, 22) for user, name in itertools.product(["alice", *names], names)]
    return list(await asyncio.gather(*tries))


def parts_of(string: str) -> tuple[str, int]:
    """User name and port of `ssh -p PORT USER@HOST`."""
    words = string.split()
    return words[-1].partition("@")[0], int(words[2])


def by_proxy(crowd: Crowd, relay: RelayProcess, who: str, name: str, user: str) -> str:
    """ssh with `uptui proxy`."""
    command = f"{sys.executable} -m uptui proxy --relay {relay.url} %h"
    argv = crowd.as_argv(who, f"ssh -l {user} {name}", "echo in")
    argv[1:1] = ["-o", f"ProxyCommand={command}"]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=40, env=crowd.env
    )
    return done.stdout or done.stderr


def test_a_relay_gets_in_with_nothing_that_it_was_told(crowd: Crowd) -> None:
    recorded = Recorded(crowd)
    relay = recorded.relay
    ready = crowd.host(
        *("--relay", relay.url, "--alias", "demo-box", "--unknown", "deny"),
        *("--approval-timeout", "1s"),
    )[1]
    _, port = parts_of(ready["strings"]["ssh-port"])

    alice = crowd.json("invite", "alice", "--uses", "any")["strings"]
    user, _ = parts_of(alice["ssh-port"])
    public, secret = split_secret(user)
    assert is_invite(public)
    assert len(secret) == 26
    assert "ssh-plain" not in alice
    for way in ("ssh-port", "ssh-jump"):
        assert crowd.as_ssh("alice", alice[way], "echo in").stdout == "in\n"
    assert by_proxy(crowd, relay, "alice", public, user) == "in\n"
    assert by_proxy(crowd, relay, "alice", user, user) == "in\n", "our client cuts the secret off"
    assert "half of an invite" in by_proxy(crowd, relay, "alice", public, "alice")
    assert secret not in recorded.told()
    stranger = new_key()
    assert asyncio.run(_enters(port, user, stranger)) == "entered\n", (
        "with the secret it can be done"
    )

    for unknown, closed in (("deny", ""), ("ask", ""), ("accept", ""), ("accept", "true")):
        crowd.run("settings", "unknown", unknown)
        crowd.run("settings", "e2e_only", closed or "false")
        strings = crowd.api("GET", "/v1/url")["strings"]
        if unknown == "accept":
            assert "ssh-plain" not in strings
            for way in ("ssh-port", "ssh-jump"):
                assert crowd.as_ssh("bob", strings[way], "echo in").stdout == "in\n"
            assert split_secret(parts_of(strings["ssh-port"])[0])[1] not in recorded.told()
        names = recorded.names("demo-box")
        assert {"demo-box", public} <= set(names)
        assert len(names) >= 3, "the token, too"
        seen = asyncio.run(knock(names, port, relay.ssh))
        assert "entered" not in " ".join(seen), (unknown, closed, names)
    assert crowd.as_ssh("alice", alice["ssh-port"], "echo in").stdout == "in\n"


def test_a_secret_said_to_the_relay_only_gets_to_ask(crowd: Crowd) -> None:
    recorded = Recorded(crowd)
    relay = recorded.relay
    crowd.host("--relay", relay.url, "--unknown", "deny", "--approval-timeout", "1s")
    strings = crowd.json("invite", "carol", "--any-key", "--uses", "any")["strings"]
    user, port = parts_of(strings["ssh-port"])
    careless = crowd.as_ssh("carol", f"ssh -p {relay.ssh} {user}@127.0.0.1", "echo in")
    assert careless.stdout == ""
    assert f"ssh -p {port} {user}@127.0.0.1" in careless.stderr
    assert split_secret(user)[1] not in str(crowd.api("GET", "/v1/log?limit=200"))
    assert crowd.told("secret.overheard")["level"] == "warning"
    seen = asyncio.run(knock([*recorded.names("-"), user], port, relay.ssh))
    assert "entered" not in " ".join(seen)
    assert crowd.run("settings", "approval_timeout", "60s").returncode == 0
    carol = crowd.start_ssh("carol", strings["ssh"], "echo in")
    assert crowd.run("approve", crowd.pending()["id"]).returncode == 0
    assert carol.communicate(timeout=30)[0] == "in\n"


def test_long_user_names_pass_the_programs_that_people_use(crowd: Crowd) -> None:
    crowd.host("--unknown", "deny")
    strings = crowd.json("invite", "alice", "--uses", "any")["strings"]
    user, port = parts_of(strings["ssh-port"])
    link = urlsplit(str(strings["vscode"]))
    assert link.path.startswith(f"/ssh-remote+{user}@127.0.0.1:{port}/")
    assert crowd.as_ssh("alice", strings["ssh"], "echo in").stdout == "in\n"
    agent = shutil.which("ssh-agent")
    assert agent is not None
    argv = ["plink", "-batch", "-agent", "-P", str(port), "-hostkey", host_key(crowd, port)]
    command = ["ssh-add", "-q", str(crowd.key_of("alice"))]
    script = " ".join(command) + " && exec " + " ".join([*argv, f"{user}@127.0.0.1", "'echo in'"])
    done = subprocess.run(
        [agent, "sh", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=40,
        env=crowd.env,
    )
    assert done.stdout == "in\n", done.stderr


def host_key(crowd: Crowd, port: int) -> str:
    """Fingerprint of the host key, as plink takes it."""
    known = (crowd.folder / "known_hosts").read_text().splitlines()
    line = next(line for line in known if f":{port} " in line)
    blob = Path(crowd.folder / "hostkey.pub")
    blob.write_text(line.partition(" ")[2] + "\n")
    shown = subprocess.run(["ssh-keygen", "-lf", blob], capture_output=True, text=True, check=True)
    return shown.stdout.split()[1]
