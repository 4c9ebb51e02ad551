"""SFTP packets out of a stream, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptui.host.sshd.files.codec import MAX_PACKET, WireError
from uptui.host.sshd.files.request_queue import KEPT, RequestQueue


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(4, "big") + packet


def take(inbox: RequestQueue) -> list[bytes]:
    found: list[bytes] = []
    while (view := inbox.packet()) is not None:
        with view:
            found.append(bytes(view))
        inbox.drop(len(found[-1]))
    return found


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 400)))
def test_every_packet_comes_whole_and_in_order(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(framed(packet) for packet in packets)
    inbox, found = RequestQueue(), list[bytes]()
    for cut in [*cuts, len(stream)]:
        inbox.add(stream[:cut])
        stream = stream[cut:]
        found += take(inbox)
    assert found == packets


def test_a_pile_of_large_packets_comes_whole_and_is_forgotten() -> None:
    packets = [bytes([number]) * (MAX_PACKET - number) for number in range(8)]
    inbox = RequestQueue()
    inbox.add(b"".join(framed(packet) for packet in packets)[:-1])
    assert take(inbox) == packets[:-1]
    inbox.add(packets[-1][-1:])
    assert take(inbox) == packets[-1:]
    assert len(inbox._buffer) <= KEPT  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("size", [0, MAX_PACKET + 1, 0xFFFFFFFF])
def test_a_length_that_no_packet_has_is_refused(size: int) -> None:
    inbox = RequestQueue()
    inbox.add(size.to_bytes(4, "big"))
    with pytest.raises(WireError, match=str(size)):
        inbox.packet()
