"""Bytes moved inside the kernel: none lost, none twice, in order, and the ends still seen."""

import asyncio
import errno
import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from uptui.relay.tunnel import pipe
from uptui.relay.tunnel.kernel_splice import MOST, KernelSplice
from uptui.relay.tunnel.pipe import BULK, READ_SIZE, Pipe, PipeEnd, Pipes, Tally

Pair = tuple[socket.socket, socket.socket]


def tcp_pair(stack: ExitStack) -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = stack.enter_context(socket.create_connection(listener.getsockname()))
        far = stack.enter_context(listener.accept()[0])
    near.setblocking(False)
    far.setblocking(False)
    return near, far


@pytest.fixture
def pairs() -> Iterator[tuple[Pair, Pair]]:
    """What comes from the first pair's `near` goes to the second pair's `far`."""
    with ExitStack() as stack:
        yield tcp_pair(stack), tcp_pair(stack)


def received(sock: socket.socket) -> bytes:
    pieces: list[bytes] = []
    while True:
        try:
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            return b"".join(pieces)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def test_what_the_sink_does_not_take_comes_back_in_order(pairs: tuple[Pair, Pair]) -> None:
    (near, source), (sink, far) = pairs
    conduit = KernelSplice()
    sent = moved = got = b""
    stuck = False
    while not stuck:
        piece = os.urandom(300_000)
        sent += piece[: near.send(piece)]
        taken, rest = conduit.move(source.fileno(), sink.fileno())
        moved += sent[len(moved) : len(moved) + taken]
        stuck = bool(rest)
        if stuck:
            assert sent[len(moved) - len(rest) : len(moved)] == rest
            got = received(far)
            assert got + rest == moved
    taken, rest = conduit.move(source.fileno(), sink.fileno())
    assert not rest
    assert received(far) == sent[len(moved) : len(moved) + taken]


def test_at_the_end_nothing_is_moved_and_the_reader_still_sees_it(
    pairs: tuple[Pair, Pair],
) -> None:
    (near, source), (sink, _) = pairs
    near.shutdown(socket.SHUT_WR)
    assert KernelSplice().move(source.fileno(), sink.fileno()) == (0, b"")
    assert source.recv(1) == b""


def test_a_broken_sink_gives_everything_back(pairs: tuple[Pair, Pair]) -> None:
    (near, source), (sink, _) = pairs
    near.send(b"still wanted")
    sink.shutdown(socket.SHUT_WR)
    assert KernelSplice().move(source.fileno(), sink.fileno()) == (12, b"still wanted")


def reset(sock: socket.socket) -> None:
    """End a connection by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_broken_source_is_told_because_the_kernel_says_it_once(
    pairs: tuple[Pair, Pair],
) -> None:
    (near, source), (sink, _) = pairs
    reset(near)
    with pytest.raises(ConnectionResetError):
        KernelSplice().move(source.fileno(), sink.fileno())


def test_a_kernel_that_cannot_moves_nothing_and_is_not_asked_again(
    pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    (near, source), (sink, _) = pairs
    near.send(b"x")
    asked: list[int] = []

    def refuse(*_: int, flags: int) -> int:
        asked.append(flags)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "splice", refuse)
    conduit = KernelSplice()
    for _ in range(3):
        assert conduit.move(source.fileno(), sink.fileno()) == (0, b"")
    assert len(asked) == 1


def test_without_descriptors_nothing_is_moved_until_there_are_some(
    pairs: tuple[Pair, Pair],
) -> None:
    (near, source), (sink, _) = pairs
    near.send(b"x")
    conduit = KernelSplice()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        assert conduit.move(source.fileno(), sink.fileno()) == (0, b"")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert conduit.move(source.fileno(), sink.fileno()) == (1, b"")


def test_bytes_left_by_an_accident_never_reach_somebody_else(
    pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    (near, source), (sink, far) = pairs
    conduit = KernelSplice()
    near.send(b"secret of one")
    with monkeypatch.context() as patched:

        def fail(*_: int) -> bytes:
            raise MemoryError

        patched.setattr(os, "read", fail)
        full = socket.socket()  # takes nothing: it is not connected
        with full, pytest.raises(MemoryError):
            conduit.move(source.fileno(), full.fileno())
    near.send(b"of another")
    assert conduit.move(source.fileno(), sink.fileno()) == (10, b"")
    assert far.recv(100) == b"of another"


@pytest.mark.parametrize("able", [True, False])
async def test_bulk_through_two_legs_is_whole_and_counted(
    pairs: tuple[Pair, Pair], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (near, source), (sink, far) = pairs
    loop = asyncio.get_running_loop()
    moves: list[int] = []

    class Watched(KernelSplice):
        def move(self, source: int, sink: int) -> tuple[int, bytes]:
            taken, rest = super().move(source, sink) if able else (0, b"")
            moves.append(taken)
            return taken, rest

    monkeypatch.setattr(pipe, "_kernel", Watched())
    tally, splices = Tally(), Pipes()
    _, client = await loop.connect_accepted_socket(lambda: PipeEnd(5), source)
    _, host = await loop.connect_accepted_socket(lambda: PipeEnd(5), sink)
    splices.join(client, host, Pipe(1, tally, client.abort, lambda: None))
    data = os.urandom(160 * MOST + 1)

    async def send() -> None:
        await loop.sock_sendall(near, data)
        near.shutdown(socket.SHUT_WR)

    async def receive() -> bytes:
        got = bytearray()
        while piece := await loop.sock_recv(far, 1 << 20):
            got += piece
            if len(got) < 32 * MOST:  # slow at first: both buffers fill
                await asyncio.sleep(0.005)
        return bytes(got)

    _, got = await asyncio.wait_for(asyncio.gather(send(), receive()), 60)
    assert got == data
    assert tally.received == len(data)
    assert (sum(moves) >= BULK) is able
    far.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(splices.drain(10), 20)
    assert tally.open == 0


async def joined(pairs: tuple[Pair, Pair]) -> tuple[Pipes, PipeEnd, PipeEnd]:
    (_, source), (sink, _) = pairs
    loop = asyncio.get_running_loop()
    _, client = await loop.connect_accepted_socket(lambda: PipeEnd(5), source)
    _, host = await loop.connect_accepted_socket(lambda: PipeEnd(5), sink)
    splices = Pipes()
    splices.join(client, host, Pipe(1, Tally(), client.abort, lambda: None))
    return splices, client, host


async def test_a_reset_in_bulk_ends_both_legs(pairs: tuple[Pair, Pair]) -> None:
    (near, _), (_, far) = pairs
    _, client, host = await joined(pairs)
    loop = asyncio.get_running_loop()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BULK)
    await loop.sock_sendall(near, bytes(3 * BULK))
    got = 0
    while got < 3 * BULK:
        got += len(await loop.sock_recv(far, 1 << 20))
    reset(near)
    async with asyncio.timeout(5):
        while not (client.lost and host.lost):
            await asyncio.sleep(0.01)


async def test_a_receiver_that_stalls_is_not_read_ahead_for(pairs: tuple[Pair, Pair]) -> None:
    (near, _), _ = pairs
    _, _, host = await joined(pairs)
    transport = host.wire
    assert isinstance(transport, asyncio.Transport)
    most, idle = 0, 0
    while idle < 20:
        try:
            near.send(bytes(MOST))
            idle = 0
        except BlockingIOError:
            idle += 1
        await asyncio.sleep(0.01)
        most = max(most, transport.get_write_buffer_size())
    assert 0 < most <= READ_SIZE + MOST
    host.abort()
    await asyncio.sleep(0)
