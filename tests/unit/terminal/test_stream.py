"""Output is cut between sequences only, and what is skimmed keeps its lasting effects."""

from hypothesis import given
from hypothesis import strategies as st

from uptui.core.terminal_input import shift_mouse, without_replies
from uptui.core.terminal_ring import Ring
from uptui.core.terminal_size import Area, Window, choose, follow
from uptui.core.terminal_stream import cut_from, skim


def test_skimming_keeps_modes_title_and_last_colours() -> None:
    data = b"\x1b[?1049h\x1b[2J" + b"\x1b[31mword\r\n" * 500 + b"\x1b]2;t\x07\x1b[3;9r\x1b[32m"
    kept = skim(data)
    assert kept.startswith(b"\x1b[?1049h\x1b]2;t\x07\x1b[3;9r")
    assert kept.endswith(b"\x1b[32m")
    assert len(kept) < 300
    assert b"word" not in kept


def test_output_is_cut_between_sequences_and_characters() -> None:
    data = "漢漢\x1b]8;;http://x\x1b\\y\nz".encode()
    assert data[cut_from(data, 1) :].startswith(b"\x1b]8")
    assert data[cut_from(data, 8) :] == b"\nz"
    assert cut_from(data, len(data)) == len(data)


def test_ring_is_bounded_and_keeps_modes() -> None:
    ring = Ring(1000)
    ring.append(b"\x1b[?1h\x1b]2;name\x07")
    for number in range(2000):
        ring.append(b"line %d\r\n" % number)
    replay = ring.replay()
    assert replay.startswith(b"\x1b[?1h\x1b]2;name\x07")
    assert replay.endswith(b"line 1999\r\n")
    assert len(replay) < 2100
    assert ring.total > 20_000


def test_ring_forgets_the_oldest_modes_first() -> None:
    ring = Ring(500)
    for number in range(20_000):
        ring.append(b"\x1b]2;title %d\x07text\n" % number)
    assert len(ring.replay()) < 18_000
    assert b"title 19999" in ring.replay()


def test_sizes() -> None:
    now = Area(80, 24)
    small, large = Window(Area(60, 20)), Window(Area(120, 50), typed_at=2.0)
    host = Window(Area(90, 30), host=True)
    assert choose("host", [], now) == now
    assert choose("host", [large], now) == Area(120, 50)
    assert choose("host", [small, large], now) == now
    assert choose("host", [small, host, large], now) == Area(90, 30)
    assert choose("smallest", [small, large], now) == Area(60, 20)
    assert choose("typist", [small, large], now) == Area(120, 50)
    assert choose("typist", [small, small], now) == now
    assert choose("host", [Window(Area(1, 1))], now) == Area(20, 5)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 100), st.integers(0, 299))
def test_the_cursor_is_always_in_view(offset: int, size: int, view: int, cursor: int) -> None:
    cursor = min(cursor, size - 1)
    left = follow(offset, size, view, cursor)
    assert 0 <= left <= max(size - view, 0)
    assert left <= cursor < left + view


def test_mouse_reports_move_with_the_view() -> None:
    assert shift_mouse(b"a\x1b[<0;3;4Mb", 10, 5, 80, 24) == b"a\x1b[<0;13;9Mb"
    assert shift_mouse(b"\x1b[<0;99;4M", 0, 0, 80, 24) == b""


def test_answers_of_a_viewers_terminal_are_dropped() -> None:
    assert without_replies(b"ab\x1b[?62;1c\x1b[>0;1;2cc\x1bP1+r544e=78\x1b\\d") == b"abcd"
    assert without_replies(b"\x1b[A\x1bOP\x1b[1;2R\x1b[200~x\x1b[201~") == (
        b"\x1b[A\x1bOP\x1b[1;2R\x1b[200~x\x1b[201~"
    )
