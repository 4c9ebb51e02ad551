"""A share whose guests get a role each by the list of keys."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import asyncssh

from tests.network.people.conftest import Crowd

CONFIG = """
[roles.fwd]
capabilities = ["forward-local", "forward-remote"]
[roles.reader]
capabilities = ["read", "write"]
[roles.corp]
capabilities = ["forward-local"]
forward_allow = ["*.corp.example:*", "10.0.0.*:*"]
[roles.careful]
capabilities = ["forward-local"]
forward_deny = ["secret.corp:*"]
"""


def share(crowd: Crowd, *people: tuple[str, str], arguments: tuple[str, ...] = ()) -> Any:
    """Start it with (name, role) of those who are listed; everybody else comes as developer."""
    crowd.config(CONFIG)
    lines = [
        f'uptui-role="{role}" {Path(f"{crowd.key_of(who)}.pub").read_text()}'
        for who, role in people
    ]
    listed = crowd.folder / "listed"
    listed.write_text("".join(lines))
    return crowd.host("--authorized-keys", str(listed), "--unknown", "accept", *arguments)[1]


@contextlib.asynccontextmanager
async def connected(
    crowd: Crowd, ready: Any, who: str
) -> AsyncGenerator[asyncssh.SSHClientConnection]:
    """A client that asks for whatever it likes."""
    words = ready["strings"]["ssh"].split()
    port = int(words[words.index("-p") + 1])
    user, _, host = words[-1].rpartition("@")
    async with asyncssh.connect(
        host, port, username=user, client_keys=[str(crowd.key_of(who))], known_hosts=None,
        config=None, agent_path=None,
    ) as client:  # fmt: skip
        yield client


Streams = tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]


async def to_port(client: asyncssh.SSHClientConnection, host: str, port: int) -> Streams:
    """A direct-tcpip channel. Raises asyncssh.ChannelOpenError."""
    opening = client.open_connection(host, port, encoding=None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("Streams", await opening)


async def to_path(client: asyncssh.SSHClientConnection, path: str) -> Streams:
    """A direct-streamlocal channel. Raises asyncssh.ChannelOpenError."""
    opening = client.open_unix_connection(path, encoding=None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return cast("Streams", await opening)
