"""A redraw gives a second terminal the very state of the first."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.terminal.screens import state
from uptui.host.terminals.emulator import Emulator
from uptui.host.terminals.screen import redraw

CASES = {
    "plain": b"hello\r\nworld",
    "colours": b"\x1b[1;3;4;31;48;5;200mA\x1b[0;38;2;1;2;3;58:2::9:8:7;4:3mB\x1b[7mC\x1b[0m D",
    "attributes to the edge": b"\x1b[44m" + b"x" * 200 + b"\x1b[K",
    "wide": "漢字テスト\r\n".encode() + "é e\u0301 a\u0308\u0323b".encode(),
    "wide at the edge": b"\x1b[1;40H" + "漢".encode() + b"\x1b[2;39H" + "漢x".encode(),
    "pending wrap": b"\x1b[3;1H\x1b[32m" + b"y" * 40,
    "alternate": b"shell$ \x1b7\x1b[?1049h\x1b[2J\x1b[5;5Hvim\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l",
    "region and origin": b"\x1b[3;8r\x1b[?6h\x1b[2;3Hx",
    "margins": b"\x1b[?69h\x1b[5;20s\x1b[2;7Habc",
    "mouse": b"\x1b[?1002;1006h\x1b[?1004h",
    "title and cursor": b"\x1b]0;some title\x07\x1b[5 q",
    "charset": b"\x1b(0lqqk\x1b(B ok \x1b)0\x0exx",
    "insert": b"\x1b[4h\x1b[?7labc",
    "tabs": b"\x1b[3g\x1b[5G\x1bH\x1b[17G\x1bH\r",
    "double height": b"\x1b#3top\r\n\x1b#4top\r\n\x1b#6wide",
    "palette": b"\x1b]4;1;rgb:11/22/33\x07\x1b]11;#abcdef\x07",
    "link": b"\x1b]8;id=7;https://example.org\x1b\\here\x1b]8;;\x1b\\ not",
    "saved cursor": b"\x1b[7;9H\x1b[35m\x1b7\x1b[0m\x1b[1;1H",
    "unfinished": b"abc\x1b]0;half a tit",
    "keys": b"\x1b[>4;2m\x1b[20h",
    "conceal, strike, overline": b"\x1b[8mA\x1b[0;9mB\x1b[0;53mC\x1b[0;5mD\x1b[2mE",
    "screen reverse": b"\x1b[?5h\x1b[?45h",
}


def copy_of(first: Emulator) -> Emulator:
    second = Emulator(first.columns, first.rows)
    second.feed(b"\x1b[?1049h\x1b[3;4r\x1b[1;31mleft by an earlier program\x1b[?1000;6;2004h\x1b(0")
    second.feed(redraw(first) + first.unfinished)
    return second


@pytest.mark.parametrize("name", CASES)
def test_redraw_restores(name: str) -> None:
    first = Emulator(40, 12)
    first.feed(CASES[name])
    assert state(copy_of(first)) == state(first)


@pytest.mark.parametrize("name", CASES)
def test_both_go_on_alike(name: str) -> None:
    first = Emulator(40, 12)
    first.feed(CASES[name])
    second = copy_of(first)
    for emulator in (first, second):
        emulator.feed(b"\x07next\x1b8restored\r\n\x1b[?1049lback\x1b[10;1Hdown\n\n\nend")
    assert state(second) == state(first)


CATEGORIES = ("Cs", "Cc", "Cf", "Co", "Cn")
MOTIONS = "ABCDEFGJKLMPSTX@dm"


def _position(row: int, column: int) -> bytes:
    return b"\x1b[%d;%dH" % (row, column)


def _motion(count: int, final: str) -> bytes:
    return f"\x1b[{count}{final}".encode()


PIECES = st.one_of(
    st.sampled_from(list(CASES.values())[:-1]),
    st.text(st.characters(codec="utf-8", exclude_categories=CATEGORIES), max_size=60).map(
        str.encode
    ),
    st.builds(_position, st.integers(1, 14), st.integers(1, 45)),
    st.builds(_motion, st.integers(0, 9), st.sampled_from(MOTIONS)),
    st.sampled_from([b"\r\n", b"\n", b"\x08", b"\t", b"\x1bM", b"\x1bD", b"\x1b7", b"\x1b8"]),
    st.sampled_from([b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?7l", b"\x1b[?7h"]),
    st.sampled_from([b"\x1b[2;6r", b"\x1b[r", b"\x1bc", b"\x1b[!p"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25))
def test_any_output(pieces: list[bytes]) -> None:
    first = Emulator(40, 12)
    for piece in pieces:
        first.feed(piece)
    assert state(copy_of(first)) == state(first)


def test_noise_never_raises() -> None:
    source = random.Random(7)
    for _ in range(60):
        first = Emulator(30, 8)
        first.feed(
            source.randbytes(400) + b"\x1b[" + bytes(source.choices(b"0123456789;?hlmrHJ", k=60))
        )
        copy_of(first)


def test_answers_are_only_harmless_ones() -> None:
    emulator = Emulator(80, 24)
    emulator.feed(b"\x1b[c\x1b[6n\x1b[?2004$p\x1b]11;?\x07")
    assert emulator.answers() == b"\x1b[?62;1;6;8;9;15;18;21;22;23c\x1b[1;1R\x1b[?2004;2$y" + (
        b"\x1b]11;rgb:0000/0000/0000\x07"
    )
    emulator.feed(b"\x1b]2;rm -rf /\x07\x1b[21t\x05\x1b]52;c;?\x07\x1bP$qrm\x1b\\")
    answers = emulator.answers()
    assert b"rm -rf" not in answers
    assert b"52" not in answers


def test_shrinking_keeps_the_cursor_line() -> None:
    emulator = Emulator(20, 10)
    emulator.feed(b"\r\n".join(b"line %d" % n for n in range(10)))
    emulator.resize(20, 4)
    assert emulator.cursor == (6, 3)
    assert "".join(cell[1] for cell in emulator.page.grid[3]).rstrip() == "line 9"


def test_a_program_cannot_change_the_size() -> None:
    emulator = Emulator(40, 12)
    emulator.feed(b"\x1b[8;99;99t\x1b[?40;3h\x1b[132$|\x1b[50t")
    assert (emulator.page.width, emulator.page.height) == (40, 12)
