"""A role that may only forward, or only read, must not become the owner by what is the daemon's."""

import json
import os
import socket
import sys
from pathlib import Path

import asyncssh
import pytest

from tests.hostile.client.roles import connected, share, to_path
from tests.network.people.conftest import Crowd

REQUEST = b"GET /v1/snapshot HTTP/1.1\r\nHost: uptui\r\nConnection: close\r\n\r\n"


async def answer(client: asyncssh.SSHClientConnection, path: str) -> bytes:
    """What the API says by a forward."""
    reader, writer = await to_path(client, path)
    writer.write(REQUEST)
    data = await reader.read()
    writer.close()
    return data


def disguises(crowd: Crowd) -> list[str]:
    """Other names of the API's socket."""
    real = crowd.api_socket
    link, folder, twin = (crowd.folder / name for name in ("link", "folder", "twin"))
    link.symlink_to(real)
    folder.symlink_to(real.parent)
    os.link(real, twin)
    beside = real.parent / "x"
    return [
        *map(str, (real, link, folder / "api.sock", twin)),
        f"{real.parent}/../default/./api.sock",
        f"/proc/self/root{real}",
        f"//{real}",
        str(beside),
    ]


async def test_a_forward_to_our_own_socket(crowd: Crowd) -> None:
    """Refused to who only forwards; who has a shell meets a door that knows the daemon."""
    ready = share(crowd, ("fred", "fwd"), ("dora", "developer"))
    neighbour = socket.socket(socket.AF_UNIX)
    neighbour.bind(str(crowd.folder / "other.sock"))
    neighbour.listen(1)
    async with connected(crowd, ready, "fred") as client:
        writer = (await to_path(client, str(crowd.folder / "other.sock")))[1]
        writer.close()
        for path in disguises(crowd):
            with pytest.raises(asyncssh.ChannelOpenError):
                await answer(client, path)
        for path in ("a\0b", "\0abstract", "", "x" * 5000):
            with pytest.raises(asyncssh.ChannelOpenError):
                await answer(client, path)
        for name in ("mine.sock", "api.sock"):
            with pytest.raises(asyncssh.ChannelListenError):
                await client.forward_remote_path(str(crowd.api_socket.parent / name), "/nowhere")
        with pytest.raises(asyncssh.ChannelListenError):
            await client.forward_remote_path("/tmp/a\0b", "/nowhere")
        (await client.forward_remote_path(str(crowd.folder / "own.sock"), "/nowhere")).close()
    async with connected(crowd, ready, "dora") as client:
        for path in disguises_again(crowd):
            data = await answer(client, path)
            assert data.startswith(b"HTTP/1.1 403"), data
            assert "forwarded" in json.loads(data.partition(b"\r\n\r\n")[2])["detail"]
    neighbour.close()


def disguises_again(crowd: Crowd) -> list[str]:
    return [str(crowd.api_socket), str(crowd.folder / "link"), str(crowd.folder / "twin")]


async def test_a_role_that_only_reads(crowd: Crowd) -> None:
    """Neither the state nor the daemon's memory, by whatever name, nor by changing places."""
    ready = share(crowd, ("rita", "reader"))
    state, plain = crowd.folder / "s" / "default", crowd.folder / "plain"
    plain.write_text("hello")
    (crowd.folder / "door").symlink_to(state)
    pid = json.loads(crowd.run("status", "--json").stdout)["share"]["pid"]
    hidden = [
        *(f"{state}/{name}" for name in ("identity", "people.json", "events.jsonl")),
        f"{crowd.folder}/door/identity",
        f"/proc/self/root{state}/identity",
        *(f"/proc/{who}/environ" for who in ("self", "thread-self", pid, f"{pid}/task/{pid}")),
        f"/proc/{pid}/mem",
        "/proc/self/fd/0",
        "/dev/fd/3",
        f"{crowd.folder}/c/config.toml",
    ]
    async with connected(crowd, ready, "rita") as client, client.start_sftp_client() as sftp:
        async with sftp.open(str(plain)) as file:
            assert await file.read() == "hello"
        assert await sftp.listdir(str(crowd.folder))
        assert await sftp.realpath("/..") == "/"
        for path in hidden:
            with pytest.raises(asyncssh.SFTPError):
                await sftp.open(path)
            scp = await client.run(f"scp -f {path}", encoding=None, input=b"\0")
            assert str(scp.stdout).startswith("b'\\x01"), (path, scp.stdout)
        for path in (state, crowd.folder / "door", "/proc/self", f"/proc/{pid}/task"):
            with pytest.raises(asyncssh.SFTPError):
                await sftp.listdir(str(path))
        for attempt in (
            sftp.rename(str(state), str(crowd.folder / "moved")),
            sftp.link(f"{state}/identity", str(crowd.folder / "copy")),
            sftp.symlink(str(plain), f"{state}/planted"),
            sftp.mkdir(f"{state}/planted"),
            sftp.remove(f"{state}/identity"),
            sftp.posix_rename(str(plain), f"{crowd.folder}/c/config.toml"),
        ):
            with pytest.raises(asyncssh.SFTPError):
                await attempt
    assert (state / "identity").exists()
    assert not Path(crowd.folder / "moved").exists()


async def test_a_guests_shell_does_not_manage_the_share(crowd: Crowd) -> None:
    """The owner's own keys do; both are told in words by the command line."""
    ready = share(crowd, ("dora", "developer"))
    string = ready["strings"]["ssh"]
    places = " ".join(f"{k}={v}" for k, v in crowd.env.items() if k.startswith("UPTUI_"))
    command = f"env {places} {sys.executable} -m uptui status"
    mallory = crowd.as_ssh("mallory", string, f"sh -c '{command}; exit $?'")
    assert mallory.returncode != 0
    assert "this terminal belongs to a guest of the share" in mallory.stderr
    dora = crowd.as_ssh("dora", string, command)
    assert dora.returncode == 0, dora.stderr
