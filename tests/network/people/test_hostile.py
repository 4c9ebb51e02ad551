"""Strangers who send control sequences, markup and lies: nothing of it reaches a screen raw."""

import asyncio
import json
import subprocess
import time

import asyncssh
import pytest

from tests.network.people.conftest import Crowd, eventually

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj[red]x[/]"
FORBIDDEN = ("\x1b]0;owned", "\x1b[2J\x9b", "\x9b", "\u202e", "\x07")
VERSION = "Evil_1.0 \x1b[31m[bold]red"


def hostile_version(_own: object) -> bytes:
    """What this client says it is: asyncssh itself would refuse to send it."""
    return VERSION.encode()


def strip(text: str) -> str:
    """What must not appear anywhere; newlines are ours."""
    found = [repr(each) for each in FORBIDDEN if each in text]
    assert found == [], f"{found} in {text!r}"
    return text


async def come(crowd: Crowd, port: int, user: str) -> None:
    """A stranger with a hostile user name and version, who runs, uploads and titles."""
    async with asyncssh.connect(
        "127.0.0.1",
        port,
        username=user,
        client_keys=[str(crowd.key_of("mallory"))],
        known_hosts=None,
        client_version=VERSION,
        config=None,
    ) as connection:
        ran = await connection.run(f"true '{EVIL}'", check=False)
        assert ran.exit_status == 0
        async with connection.start_sftp_client() as sftp:
            name = f"{crowd.folder}/f{EVIL.replace('/', '|')}"
            async with sftp.open(name, "wb") as file:
                await file.write(b"x")
        shell = await connection.create_process(term_type="xterm\x1b]0;owned\x07")
        shell.stdin.write("printf '\\033]0;title\\033[31m\\007'; echo done-$((1+1))\n")
        while "done-2" not in await shell.stdout.readline():
            pass
        await asyncio.to_thread(look, crowd)
        shell.stdin.write("exit\n")


def look(crowd: Crowd) -> None:
    """Everything that prints about the one who is in."""
    strip(json.dumps(crowd.snapshot(), ensure_ascii=False))
    for command in (["clients"], ["people"], ["terminals"], ["status"], ["log", "-n", "200"]):
        strip(crowd.run(*command).stdout)
        assert "\x1b" not in crowd.run(*command).stdout
    assert "lory" in crowd.run("clients").stdout
    lines = crowd.run("log", "--json", "-n", "200").stdout.splitlines()
    entries = [json.loads(strip(line)) for line in lines]
    for entry in entries:
        for text in (entry["text"], *(str(value) for value in entry["data"].values())):
            assert text.isprintable(), text
    events = {entry["event"] for entry in entries}
    assert {"client.joined", "session.exec", "file.upload"} <= events


def test_a_hostile_client_reaches_no_screen(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncssh.connection._validate_version", hostile_version)
    monkeypatch.setattr("asyncssh.connection.saslprep", str)
    ready = crowd.host("--unknown", "ask")[1]
    tmux = Tmux(crowd)
    try:
        tmux.start()
        tmux.wait_for("Connect")
        seen: list[str] = []

        async def visit() -> None:
            port = ready["ways"]["port"]["port"]
            with pytest.raises(asyncssh.IllegalUserName):
                await come(crowd, port, f"mal{EVIL}lory")
            coming = asyncio.create_task(come(crowd, port, "mal[red]lory[/]"))
            while not coming.done():
                seen.append(await asyncio.to_thread(tmux.capture))
                for waiting in crowd.snapshot()["pending"]:
                    tmux.wait_for("A ok")
                    seen.append(tmux.capture())
                    crowd.api("POST", f"/v1/requests/{waiting['id']}/approve", {})
                await asyncio.sleep(0.2)
            await coming

        asyncio.run(visit())
        for key in ("5", "6", "1"):
            tmux.press(key)
            time.sleep(0.4)
            seen.append(tmux.capture())
        assert any("lory" in picture for picture in seen)
        for picture in seen:
            for forbidden in (*FORBIDDEN, "\x1b]0;"):
                assert forbidden not in picture, repr(picture)
        assert "owned" not in tmux.title()
        assert "[red]" in crowd.run("log", "-n", "200").stdout
    finally:
        tmux.close()


class Tmux:
    """The TUI in a tmux of its own."""

    def __init__(self, crowd: Crowd) -> None:
        self._socket = str(crowd.folder / "tmux")
        self._env = {**crowd.env, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments],
            env=self._env, capture_output=True, text=True, timeout=20, check=True,
        ).stdout  # fmt: skip

    def start(self, width: int = 120, height: int = 40) -> None:
        import sys

        command = f"{sys.executable} -m uptui"
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def capture(self) -> str:
        """The screen with its escape sequences for colours."""
        return self._run("capture-pane", "-e", "-p")

    def title(self) -> str:
        return self._run("display-message", "-p", "#{pane_title}")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self._run("capture-pane", "-p"), f"{text!r} on the screen")

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False
        )
