"""Clients and strangers who want something forgotten: the record still tells who came and when."""

import asyncio
import contextlib
import struct
from pathlib import Path
from typing import Any, cast

import asyncssh

from tests.hostile.client.roles import connected, share
from tests.network.files.packets import Packets, text
from tests.network.people.conftest import Crowd
from tests.network.ssh.conftest import new_key
from uptui.host.sshd.files.codec import Kind
from uptui.host.storage.event_log import RING
from uptui.host.storage.folding import APART, STRANGERS

AT_ONCE = 200
STRANGE_SOURCES = 140
LITTLE = 256 * 1024
"""Bytes of the whole record after a flood."""


def entries(crowd: Crowd) -> list[dict[str, Any]]:
    return crowd.api("GET", "/v1/log?limit=500")


def people_s_acts(crowd: Crowd) -> list[str]:
    """What somebody did before the flood, as the record still has it."""
    texts = [entry["text"] for entry in entries(crowd)]
    return [kind for kind in ("joined", "invite") if any(kind in one for one in texts)]


def act(crowd: Crowd, string: str) -> None:
    """Somebody joins and is gone, and the host makes an invite."""
    assert crowd.as_ssh("bob", string, "true").returncode == 0
    assert crowd.run("invite", "carol").returncode == 0
    assert people_s_acts(crowd) == ["joined", "invite"]


def size_of_record(crowd: Crowd) -> int:
    return sum(file.stat().st_size for file in Path(crowd.folder).rglob("events*.jsonl*"))


async def test_a_flood_of_files_leaves_the_acts_of_people(crowd: Crowd) -> None:
    """More directories than the record holds entries, as fast as they are made."""
    ready = await asyncio.to_thread(share, crowd, ("mallory", "developer"))
    await asyncio.to_thread(act, crowd, ready["strings"]["ssh"])
    place = crowd.folder / "flood"
    place.mkdir()
    count = RING + AT_ONCE
    async with connected(crowd, ready, "mallory") as mallory:
        opening = mallory.open_session(subsystem="sftp", encoding=None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        writer, reader, _ = cast("tuple[Any, Any, Any]", await opening)
        session = await Packets(reader, writer).greet()
        for first in range(0, count, AT_ONCE):
            for number in range(first, first + AT_ONCE):
                path = text(bytes(place / str(number))) + struct.pack(">I", 0)
                await session.send(struct.pack(">BI", Kind.MKDIR, number) + path)
            for _ in range(AT_ONCE):
                await session.answer()
    assert len(list(place.iterdir())) == count
    kept = await asyncio.to_thread(entries, crowd)
    assert await asyncio.to_thread(people_s_acts, crowd) == ["joined", "invite"]
    assert len([entry for entry in kept if entry["event"].startswith("file.")]) <= APART + 2
    assert size_of_record(crowd) < LITTLE


async def test_a_crowd_of_strangers_leaves_the_acts_of_people(crowd: Crowd) -> None:
    """Each from an address of its own, with a key that nobody knows."""
    ready = await asyncio.to_thread(share, crowd)
    await asyncio.to_thread(act, crowd, ready["strings"]["ssh"])
    await asyncio.to_thread(crowd.run, "set", "unknown=ask")
    words = ready["strings"]["ssh"].split()
    port = int(words[words.index("-p") + 1])
    turns = asyncio.Semaphore(8)
    key = new_key()

    async def knock(number: int) -> None:
        async with turns:
            with contextlib.suppress(asyncssh.Error, OSError):
                async with asyncssh.connect(
                    "127.0.0.1", port, username=f"x{number}", client_keys=[key],
                    known_hosts=None, config=None, agent_path=None,
                    local_addr=(f"127.0.{1 + number // 200}.{1 + number % 200}", 0),
                ):  # fmt: skip
                    pass

    await asyncio.gather(*(knock(number) for number in range(STRANGE_SOURCES)))
    kept = await asyncio.to_thread(entries, crowd)
    assert await asyncio.to_thread(people_s_acts, crowd) == ["joined", "invite"]
    for event in ("client.waiting", "client.refused", "client.left", "request.expired"):
        assert len([entry for entry in kept if entry["event"] == event]) <= STRANGERS + 2, event
