"""SFTP packets by hand, for requests that no client sends."""

import asyncio
import struct
from pathlib import Path
from typing import Protocol, Self

from uptui.host.sshd.files.codec import Kind

DEADLINE = 60.0


class Source(Protocol):
    async def readexactly(self, n: int, /) -> bytes: ...


class Sink(Protocol):
    def write(self, data: bytes, /) -> None: ...
    async def drain(self) -> None: ...


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def copy_data(source: bytes, at: int, length: int, target: bytes, to: int) -> bytes:
    """What follows the request id."""
    middle = source + struct.pack(">QQ", at, length)
    return text(b"copy-data") + middle + target + struct.pack(">Q", to)


class Packets:
    """An SFTP session by hand; `source` and `sink` are a process's or an SSH channel's."""

    def __init__(self, source: Source, sink: Sink) -> None:
        self._source = source
        self._sink = sink

    async def greet(self) -> Self:
        """The first thing to do."""
        await self.send(struct.pack(">BI", Kind.INIT, 3))
        assert (await self.answer())[0] == Kind.VERSION
        return self

    async def send(self, packet: bytes) -> None:
        self._sink.write(text(packet))
        await self._sink.drain()

    async def answer(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            size = int.from_bytes(await self._source.readexactly(4), "big")
            return await self._source.readexactly(size)

    async def ask(self, kind: Kind, *parts: bytes) -> tuple[int, bytes]:
        """What kind of packet answers, and what is in it."""
        await self.send(struct.pack(">BI", kind, 7) + b"".join(parts))
        answer = await self.answer()
        return answer[0], answer[5:]

    async def status(self, kind: Kind, *parts: bytes) -> int:
        answer, body = await self.ask(kind, *parts)
        assert answer == Kind.STATUS
        return int.from_bytes(body[:4], "big")

    async def open(self, path: Path, flags: int) -> bytes:
        answer, handle = await self.ask(Kind.OPEN, text(bytes(path)), struct.pack(">II", flags, 0))
        assert answer == Kind.HANDLE
        return handle
