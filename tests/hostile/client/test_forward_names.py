"""Lists of destinations against names and notations; names stand in a private /etc/hosts."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator

import asyncssh
import pytest

from tests.hostile.client.roles import connected, share, to_port
from tests.network.people.conftest import Crowd

HOSTS = """127.0.0.1 localhost
127.0.0.1 trap.corp.example 10.0.0.7.nip.example
127.0.0.5 secret.corp alias.example
"""


@contextlib.asynccontextmanager
async def hello(host: str) -> AsyncGenerator[int]:
    """A service that says hello; its port."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def reached(client: asyncssh.SSHClientConnection, host: str, port: int) -> bool:
    try:
        reader, writer = await to_port(client, host, port)
    except asyncssh.ChannelOpenError:
        return False
    async with asyncio.timeout(20):
        assert await reader.read() == b"hello"
    writer.close()
    return True


async def test_names_and_notations(crowd: Crowd) -> None:
    assert shutil.which("unshare"), "util-linux is needed"
    hosts = crowd.folder / "hosts"
    hosts.write_text(HOSTS)
    script = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    crowd.under = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
    ready = share(crowd, ("carl", "corp"), ("cora", "careful"))
    async with hello("127.0.0.1") as port, connected(crowd, ready, "carl") as client:
        assert await reached(client, "trap.corp.example", port), "an allowed name works"
        assert await reached(client, "TRAP.Corp.Example.", port)
        assert await reached(client, "ｔrap.corp.example", port)
        for host in (
            "127.0.0.1\0.corp.example", "localhost\0.corp.example", "127.0.0.1 .corp.example",
            "127.0.0.1%.corp.example", "127.0.0.1/.corp.example", "10.0.0.7.nip.example",
            "127.0.0.1", "localhost", "0", "127.1", "2130706433", "0x7f000001", "017700000001",
            "::1", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]", "①②⑦.0.0.1", "127。0。0。1",
        ):  # fmt: skip
            assert not await reached(client, host, port), host
    async with hello("127.0.0.5") as port, connected(crowd, ready, "cora") as client:
        for host in (
            "secret.corp", "SECRET.corp.", "ſecret.corp", "ｓecret.corp", "secret.corp\0",
            "127.0.0.5", "127.5", "2130706437", "0x7f.5", "::ffff:127.0.0.5", "alias.example",
        ):  # fmt: skip
            assert not await reached(client, host, port), host
    async with hello("127.0.0.1") as port, connected(crowd, ready, "cora") as client:
        assert await reached(client, "localhost", port)
        with pytest.raises(asyncssh.ChannelListenError):
            await client.forward_remote_port("127.0.0.1\0x", 0, "localhost", 1)
        assert await reached(client, "127.0.0.1", port), "the connection lives on"
