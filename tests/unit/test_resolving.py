"""Threads that look names up are shared fairly."""

import asyncio
import socket
import threading
from collections.abc import Generator

import pytest

from uptui.host.sshd.forwarding.connect import ClientResolver
from uptui.net import resolver as resolving
from uptui.net.resolver import Loop, Resolver


class Silent:
    """A name server that does not answer about silent names."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name.startswith("silent"):
            self.answer.wait()
        if name == "none":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return ["192.0.2.7"]


@pytest.fixture
def server() -> Generator[Silent]:
    silent = Silent()
    yield silent
    silent.answer.set()


async def test_silent_names_of_one_are_nothing_to_another(server: Silent) -> None:
    resolver = Resolver(server)
    mallory, alice = ClientResolver(resolver, "mallory"), ClientResolver(resolver, "alice")
    asking = [asyncio.create_task(mallory.resolve(f"silent{n}.example")) for n in range(200)]
    async with asyncio.timeout(5):
        while len(server.asked) < resolving.PER_CLIENT:
            await asyncio.sleep(0.01)
        assert await alice.resolve("quick.example") == ["192.0.2.7"]
        assert await mallory.resolve("localhost") == ["127.0.0.1", "::1"]
        assert await mallory.resolve("0x7f.1") == ["127.0.0.1"]
        assert await mallory.resolve("fe80::1%lo") == ["fe80::1%lo"]
    assert len(server.asked) == resolving.PER_CLIENT + 1
    refused = [task for task in asking if task.done()]
    assert len(refused) == 200 - resolving.WAITING
    assert all(isinstance(task.exception(), socket.gaierror) for task in refused)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    server.answer.set()
    with pytest.raises(socket.gaierror):
        await mallory.resolve("none")


async def test_what_is_not_answered_in_time_fails(
    server: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "TIMEOUT", 0.05)
    names = ClientResolver(Resolver(server), "alice")
    for _ in range(2 * resolving.PER_CLIENT):
        with pytest.raises(socket.gaierror) as caught:
            await names.known(["silent.example"])
        assert caught.value.errno == socket.EAI_AGAIN
    assert len(server.asked) == resolving.PER_CLIENT
    server.answer.set()
    monkeypatch.undo()
    assert await names.known(["none", "a.example"]) == {"192.0.2.7"}


def test_the_loops_own_lookups_use_no_common_thread() -> None:
    async def look() -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        with pytest.raises(OSError, match=r"."):
            await loop.getaddrinfo("\0", 80)
        return [str(entry[4][0]) for entry in found] + [
            thread.name for thread in threading.enumerate()
        ]

    with asyncio.Runner(loop_factory=Loop) as runner:
        address, *threads = runner.run(look())
    assert address == "127.0.0.1"
    assert not any("asyncio" in name for name in threads)
