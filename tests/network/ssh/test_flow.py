"""Descriptors: order, back-pressure, and calls that come from within callbacks."""

import asyncio
import fcntl
import os

import pytest

from tests.network.ssh.conftest import until
from uptui.host.process.flow import (
    HIGH_WATER,
    LARGE,
    READ_SIZE,
    SHORT_READ,
    DescriptorReader,
    Drain,
    Turns,
)

CAPACITY = 1 << 20


def read_all(fd: int) -> list[bytes]:
    pieces: list[bytes] = []
    DescriptorReader(fd, pieces.append, lambda: pieces.append(b""))
    return pieces


async def deliver_rest_when_there_is_room() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, CAPACITY)  # one write empties the whole queue
    told: list[str] = []

    def room() -> None:
        told.append("room")
        drain.write(b"the rest")
        drain.end()

    drain = Drain(write, on_full=lambda: told.append("full"), on_room=room)
    data = b"x" * (CAPACITY + HIGH_WATER + 200_000)
    drain.write(data)
    assert told == ["full"]
    pieces = read_all(read)
    await until(lambda: pieces[-1:] == [b""])
    assert b"".join(pieces) == data + b"the rest"
    assert told == ["full", "room"]


async def test_back_pressure_and_end_from_within_the_callback() -> None:
    """A descriptor closed there must be forgotten by the loop before its number returns."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    for _ in range(20):
        await deliver_rest_when_there_is_room()
    assert errors == []


async def test_a_reader_that_is_gone_is_no_error() -> None:
    read, write = os.pipe()
    told: list[str] = []
    drain = Drain(write, on_full=lambda: told.append("full"), on_room=lambda: told.append("room"))
    drain.write(b"x" * (HIGH_WATER + 200_000))
    os.close(read)
    await until(lambda: told == ["full", "room"])
    drain.write(b"more")
    drain.end()
    assert drain.size == 0


async def test_a_paused_source_reads_nothing() -> None:
    read, write = os.pipe()
    pieces: list[bytes] = []
    source = DescriptorReader(read, pieces.append, lambda: None)
    source.pause()
    os.write(write, b"one")
    await asyncio.sleep(0.05)
    assert pieces == []
    source.resume()
    await until(lambda: pieces == [b"one"])
    os.close(write)
    await until(lambda: source.closed)


async def sizes_read() -> list[int]:
    """How READ_SIZE bytes that wait in a pipe are read."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, CAPACITY)
    os.write(write, b"x" * READ_SIZE)
    os.close(write)
    pieces = read_all(read)
    await until(lambda: pieces[-1:] == [b""])
    return [len(piece) for piece in pieces[:-1]]


async def test_a_download_takes_short_turns_while_somebody_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = Turns()
    monkeypatch.setattr("uptui.host.process.flow.TURNS", turns)
    assert await sizes_read() == [READ_SIZE]
    turns.typed()
    assert await sizes_read() == [SHORT_READ] * (READ_SIZE // SHORT_READ)


async def test_large_pieces_of_one_turn_leave_together_and_a_key_at_once() -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, CAPACITY)
    os.set_blocking(read, False)
    drain = Drain(write)
    drain.write(b"key")
    assert os.read(read, CAPACITY) == b"key"
    pieces = [bytes([number]) * LARGE for number in range(5)]
    for piece in pieces:
        drain.write(piece)
    drain.write(b"line")
    with pytest.raises(BlockingIOError):
        os.read(read, CAPACITY)
    await asyncio.sleep(0)
    assert os.read(read, CAPACITY) == b"".join(pieces) + b"line"
    drain.write(b"x" * LARGE)
    drain.close()
    assert os.read(read, CAPACITY) == b"x" * LARGE
    assert os.read(read, CAPACITY) == b""
    os.close(read)
