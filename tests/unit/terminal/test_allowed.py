"""Only what is on the list reaches a viewer, however output is cut, and it works as before."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.terminal.hostile_output import HOSTILE, strange
from tests.unit.terminal.screens import state
from uptui.core.terminal_output import MAX_HELD, MODES, AllowedOutput, for_viewers
from uptui.host.terminals.emulator import Emulator
from uptui.protocol.terminal import RESET

ORDINARY = (
    "plain \x1b[1;31mred\x1b[0m \x1b]8;id=a.1;http://x/y\x1b\\link\x1b]8;;\x1b\\ 漢字 é 🎉 \t\b\r\n"
    "\x1b[38:2::1:2:3;4:3mfancy\x1b[m\x1b(0qq\x1b(B\x1b[?2004h\x1b[?1049h\x1b7\x1b8\x1b[>4;2m\x1b="
    "\x1b[2 q\x1b[3;9r\x1b[5;6H\x1b[2J\x1b[K\x1b[3b\x1b[!p\x1b#8\x1b)0\x0eq\x0f\x1b[?1049l end"
).encode()
FRAGMENTS = [
    *(b"\x1b", b"[", b"]", b"P", b"_", b"\\", b"\x07", b"?", b"8;;", b"1;2", b"h", b"m", b"n"),
    *(b"\x9b", b"\xc2", b"\x18", b"\xe2\x82", b"\x00", b"52;c;", b"2;t"),
]
PIECES = st.one_of(
    st.sampled_from([*HOSTILE.values(), ORDINARY]),
    st.binary(max_size=12),
    st.lists(st.sampled_from(FRAGMENTS), max_size=10).map(b"".join),
    st.sampled_from([b"\x1b[" + b"1;" * 3000, b"\x1bP" + b"q" * 5000, b"\x1b" + b" " * 5000]),
)
OUTPUT = st.lists(PIECES, max_size=8).map(b"".join)


def passed(*pieces: bytes) -> bytes:
    allowed = AllowedOutput()
    return b"".join(map(allowed.feed, pieces))


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_hostile_reaches_a_viewer(name: str) -> None:
    for around in (b"%b", b"before %b after", b"\x1b[1m%b\x1b[0m", b"\xe6\xbc%b\xa2"):
        shown = for_viewers(passed(around % HOSTILE[name]))
        assert not strange(shown)
        assert b"aGFybQ" not in shown
    assert for_viewers(passed(b"a%b\x1b\\\x07b" % HOSTILE[name])).startswith(b"a")


def test_ordinary_output_passes_as_it_is() -> None:
    assert for_viewers(passed(ORDINARY)) == ORDINARY
    assert not strange(ORDINARY)


@settings(deadline=None)
@given(OUTPUT, st.lists(st.integers(0, 12_000), max_size=12))
def test_cuts_make_no_difference(output: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    pieces = [output[a:b] for a, b in itertools.pairwise(edges)]
    allowed = AllowedOutput()
    results = [allowed.feed(piece) for piece in pieces]
    assert b"".join(results) == passed(output)
    for result in results:  # something else may be put in between any two
        assert not strange(for_viewers(result))


@settings(deadline=None)
@given(OUTPUT)
def test_what_passed_passes_again(output: bytes) -> None:
    once = passed(output)
    assert passed(once) == once
    assert for_viewers(passed(for_viewers(once))) == for_viewers(once)


ENDLESS = [(b"\x1b]52;c;", b"A", b"\x07"), (b"\x1b[", b"1", b"m"), (b"\x1b ", b" ", b"F")]


def test_memory_is_bounded_and_output_comes_back() -> None:
    for start, filler, end in [*ENDLESS, (b"\x1b_", b"A", b"\x1b\\")]:
        allowed = AllowedOutput()
        assert allowed.feed(b"x" + start) == b"x"
        for _ in range(20):
            assert allowed.feed(filler * 1000) == b""
            assert len(allowed._held) <= MAX_HELD  # pyright: ignore[reportPrivateUsage]
        assert allowed.feed(end + b"back") == b"back"


@pytest.mark.parametrize(
    ("output", "result"),
    [
        (b"\x1b[?1;2048;2004h", b"\x1b[?1h\x1b[?2004h"),
        (b"\x1b[4;2h", b"\x1b[4h"),
        (b"\x1b]0;a\x01b\xc2\x9b6n\x1b\\", b"\x1b]2;ab6n\x07"),
        (b"\x1b]8;x=1:id=q;HTTPS://x\x07", b"\x1b]8;id=q;https://x\x1b\\"),
        (b"\x1b]8;;file:///x\x07", b"\x1b]8;;\x1b\\"),
        (b"\x1b]10;?;?\x07", b"\x1b]10;?\x07\x1b]11;?\x07"),
        (b"\xe2\x28\x9b1m", "\ufffd(\ufffd1m".encode()),
        (b"a\x00\x7fb", b"ab"),
    ],
)
def test_harmless_forms(output: bytes, result: bytes) -> None:
    assert passed(output) == result


QUESTIONS = [
    b"\x1b[c",
    b"\x1b[>c",
    b"\x1b[6n",
    b"\x1b[?2026$p",
    b"\x1b[18t",
    b"\x1b]11;?\x07",
    b"\x1bP+q544e\x1b\\",
    b"\x1bP$qm\x1b\\",
    b"\x1b]4;5;?;6;?\x1b\\",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_reach_the_emulator_alone(question: bytes) -> None:
    assert passed(question) == question
    assert for_viewers(b"a" + question + b"b") == b"ab"
    emulator = Emulator(80, 24)
    emulator.feed(question)
    assert emulator.answers()


def test_a_hard_reset_leaves_the_scrollback_alone() -> None:
    emulator, fresh = Emulator(40, 5), Emulator(40, 5)
    emulator.feed(ORDINARY + passed(b"\x1b[?1049h\x1b[?1000h\x1b[31mtext\x1bc"))
    assert b"\x1bc" not in passed(b"\x1bc")
    for each in (emulator, fresh):
        each.feed(b"\x1b[5 q")
    assert {**state(emulator), "saved": 0} == {**state(fresh), "saved": 0}


def test_everything_that_output_may_change_is_reset() -> None:
    off = MODES - {7, 12, 25, 47, 1047, 1048, 1049}  # shown, drawn anew, or a screen of their own
    lists = re.findall(rb"\x1b\[\?([0-9;]+)l", RESET)
    assert off <= {int(number) for numbers in lists for number in numbers.split(b";")}
    emulator = Emulator(40, 5)
    emulator.feed(b"".join(b"\x1b[?%dh" % mode for mode in sorted(off - {6, 69})) + RESET)
    assert not [mode for mode in off if emulator.mode(mode)]
