"""Fair shares: the whole rate is kept, parts are equal, and unused parts go to the others."""

import pytest

from uptui.relay.tunnel.fair_share import FairShare

RATE = 1_000_000.0
CHUNK = 16_384


def simulate(share: FairShare, streams: list[str], seconds: float) -> dict[str, int]:
    """Bytes that greedy streams move in a time, each pausing as told."""
    ready = dict.fromkeys(streams, 0.0)
    moved = dict.fromkeys(streams, 0)
    while True:
        stream = min(ready, key=lambda name: ready[name])
        now = ready[stream]
        if now >= seconds:
            return moved
        moved[stream] += CHUNK
        ready[stream] = now + max(1e-4, share.wait_after(stream, CHUNK, now))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_greedy_streams_get_equal_parts_of_the_whole(count: int) -> None:
    names = [f"s{n}" for n in range(count)]
    moved = simulate(FairShare(RATE), names, 20.0)
    assert 0.92 < sum(moved.values()) / (RATE * 20) < 1.08
    for bytes_moved in moved.values():
        assert 0.9 < bytes_moved / (RATE * 20 / count) < 1.1


def test_a_stream_that_left_or_idles_leaves_its_part() -> None:
    share = FairShare(RATE)
    share.wait_after("a", 1, 0.0)
    share.wait_after("b", 1, 0.0)
    assert share.part == RATE / 2
    share.leave("b")
    assert share.part == RATE
    share.wait_after("b", 1, 0.1)
    share.wait_after("a", 1, 10.0)
    assert share.part == RATE


def test_small_writes_do_not_wait() -> None:
    share = FairShare(RATE)
    assert [share.wait_after("a", 100, now / 100) for now in range(50)] == [0.0] * 50


class Counted:
    """A stream that counts how often somebody looks it up."""

    looks = 0

    def __hash__(self) -> int:
        Counted.looks += 1
        return id(self)


def test_a_chunk_costs_the_same_however_many_streams_there_are() -> None:
    """5,000 streams for 20 s of their time: some go on, some come and go, some fall silent."""
    share = FairShare(RATE)
    streams = [Counted() for _ in range(5000)]
    for turn in range(20):
        for stream in streams[turn * 100 :]:
            share.wait_after(stream, 10, turn + 0.5)
        for stream in streams[turn * 100 : turn * 100 + 50]:
            share.leave(stream)
    chunks = sum(5000 - turn * 100 for turn in range(20))
    assert Counted.looks < 4 * chunks
    share.wait_after(streams[-1], 10, 100.0)
    assert share.part == RATE


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="above 0"):
        FairShare(0)
