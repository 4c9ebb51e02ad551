"""Bytes moved inside the kernel: none lost, none twice, in order, and the ends still seen."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from uptui.relay import splice
from uptui.relay.conduit import PIPE_SIZE, Conduit
from uptui.relay.splice import BULK, Joint, Leg, Splices, Tally

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
    conduit = Conduit()
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
    assert Conduit().move(source.fileno(), sink.fileno()) == (0, b"")
    assert source.recv(1) == b""


def test_a_broken_sink_gives_everything_back(pairs: tuple[Pair, Pair]) -> None:
    (near, source), (sink, _) = pairs
    near.send(b"still wanted")
    sink.shutdown(socket.SHUT_WR)
    assert Conduit().move(source.fileno(), sink.fileno()) == (12, b"still wanted")


def test_a_kernel_that_cannot_moves_nothing_and_is_not_asked_again(tmp_path: Path) -> None:
    conduit = Conduit()
    with socket.socket() as unconnected, (tmp_path / "log").open("ab") as log:
        assert conduit.move(log.fileno(), unconnected.fileno()) == (0, b"")
    with ExitStack() as stack:
        (near, source), (sink, _) = tcp_pair(stack), tcp_pair(stack)
        near.send(b"x")
        assert conduit.move(source.fileno(), sink.fileno()) == (0, b"")


@pytest.mark.parametrize("able", [True, False])
async def test_bulk_through_two_legs_is_whole_and_counted(
    pairs: tuple[Pair, Pair], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (near, source), (sink, far) = pairs
    loop = asyncio.get_running_loop()
    moves: list[int] = []

    class Watched(Conduit):
        def move(self, source: int, sink: int) -> tuple[int, bytes]:
            taken, rest = super().move(source, sink) if able else (0, b"")
            moves.append(taken)
            return taken, rest

    monkeypatch.setattr(splice, "_conduit", Watched())
    tally, splices = Tally(), Splices()
    _, client = await loop.connect_accepted_socket(lambda: Leg(5), source)
    _, host = await loop.connect_accepted_socket(lambda: Leg(5), sink)
    splices.join(client, host, Joint(1, tally, client.abort, lambda: None))
    data = os.urandom(40 * PIPE_SIZE + 1)

    async def send() -> None:
        await loop.sock_sendall(near, data)
        near.shutdown(socket.SHUT_WR)

    async def receive() -> bytes:
        got = bytearray()
        while piece := await loop.sock_recv(far, 1 << 20):
            got += piece
            if len(got) < 8 * PIPE_SIZE:  # slow at first: both buffers fill
                await asyncio.sleep(0.005)
        return bytes(got)

    _, got = await asyncio.wait_for(asyncio.gather(send(), receive()), 60)
    assert got == data
    assert tally.received == len(data)
    assert (sum(moves) >= BULK) is able
    far.shutdown(socket.SHUT_WR)
    await asyncio.wait_for(splices.drain(10), 20)
    assert tally.open == 0
