"""open-remote-ssh of VSCodium, Cursor and Windsurf, played by npm's ssh2."""

import base64
import json
import shlex
import subprocess
import sys
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from tests.network.daemon.conftest import eventually
from tests.network.ides.desk import WAYS, Desk, new_key
from tests.network.ides.vscode import REMOTE, main_program

NODE = Path(__file__).parent.parent.parent / "node"
LONGEST_WAIT = 3.0
"""Seconds for a channel to close after its script has ended, whatever runs on in the background."""


def script(desk: Desk, ident: str, commit: str) -> Path:
    names = {
        "UUID": ident,
        "COMMIT": commit,
        "PYTHON": sys.executable,
        "PROGRAM": base64.b64encode(main_program()).decode(),
    }
    settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in names.items())
    path = desk.folder / "open-remote.sh"
    padding = "# padding\n" * 600
    path.write_text(settings + padding + (REMOTE / "open-remote.sh").read_text())
    return path


def play(desk: Desk, way: str, **options: Any) -> Any:
    """Run the client; what it saw."""
    at = desk.ways[way]
    if way == "jump":
        where = {"host": at["target"], "port": 22, "user": "dev",
                 "jump": {"host": at["host"], "port": at["port"], "user": at["user"]}}  # fmt: skip
    else:
        where = {"host": at["host"], "port": at["port"], "user": at["user"]}
    done = desk.run("node", str(NODE / "open-remote.js"),
                    stdin=json.dumps({**where, **options}).encode())  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_session(desk: Desk, way: str) -> None:
    stranger = desk.folder / "stranger"
    if not stranger.exists():
        new_key(stranger)
    keys = [str(desk.key)] if way == "plain" else [str(stranger), str(desk.key)]
    ident, commit = token_hex(12), token_hex(20)
    work = desk.home / f"work-{way}"
    work.mkdir()
    sock = desk.folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL) as agent:
        try:
            eventually(sock.exists, "the agent listens")
            desk.ok("ssh-add", "-q", str(desk.key), SSH_AUTH_SOCK=str(sock))
            seen = play(
                desk, way,
                keys=keys,
                script=str(script(desk, ident, commit)),
                folder=str(work),
                local=str(desk.folder / f"local-{way}"),
                agent=str(sock),
            )  # fmt: skip
        finally:
            agent.terminate()
            agent.wait()
            sock.unlink(missing_ok=True)
    assert seen["methods"] == ["none", *keys]
    assert seen["offered"] == [["publickey"]] * len(keys)
    assert seen["uname"] == "Linux\n"
    assert seen["commandLength"] > 10_000
    assert (seen["install"]["code"], seen["install"]["signal"]) == (0, None)
    assert seen["results"]["exitCode"] == "0"
    assert seen["installSeconds"] < LONGEST_WAIT
    assert seen["byPort"] == seen["bySocket"] == commit
    assert seen["many"] == 30
    assert seen["refused"] == _CONNECT_FAILED
    assert "ED25519" in seen["agentKeys"]
    assert seen["sameFile"] is True
    assert (seen["small"], seen["mode"], seen["link"]) == ("text", 0o755, "small")
    assert seen["names"] == ["file", "link"]
    assert seen["missing"] == _NO_SUCH_FILE


_CONNECT_FAILED = 2
"""SSH_OPEN_CONNECT_FAILED (RFC 4254, 5.1)."""
_NO_SUCH_FILE = 2
"""SSH_FX_NO_SUCH_FILE."""


@pytest.fixture
def stranger(desk: Desk) -> str:
    path = desk.folder / "other"
    if not path.exists():
        new_key(path)
    return str(path)


@pytest.mark.parametrize("way", WAYS)
def test_a_key_that_is_refused_is_no_question_of_a_password(
    desk: Desk, way: str, stranger: str
) -> None:
    seen = play(desk, way, keys=[stranger])
    assert seen["error"]["level"] == "client-authentication"
    assert seen["methods"] == ["none", stranger]
    assert all(left == ["publickey"] for left in seen["offered"])
