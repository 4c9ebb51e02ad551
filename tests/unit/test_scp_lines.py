"""scp's control lines: what is written is read back, and nothing else gets as far as the system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptui.host.sshd.files.scp_lines import (
    MAX_SIZE,
    MAX_TIME,
    Complaint,
    End,
    Entry,
    Line,
    LineError,
    Times,
    parse,
    written,
)

BAD = b"/\0\n"


def no_path(name: bytes) -> bool:
    return name not in {b".", b".."} and not set(name) & set(BAD)


def one_line(text: bytes) -> bool:
    return b"\n" not in text


NAMES = st.binary(min_size=1).filter(no_path)
ENTRIES = st.builds(Entry, st.booleans(), st.integers(0, 0o7777), st.integers(0, MAX_SIZE), NAMES)
TIMES = st.builds(Times, st.integers(0, MAX_TIME), st.integers(0, MAX_TIME))
COMPLAINTS = st.builds(Complaint, st.booleans(), st.binary().filter(one_line))


def number(value: int) -> bytes:
    return b"%d" % value


def line_of(kind: bytes, words: list[bytes]) -> bytes:
    return kind + b" ".join(words)


NUMBERS = st.integers(-(2**70), 2**70).map(number) | st.sampled_from(
    [b"", b"+5", b"1_0", b" 5", b"5 ", b"0x5", b"\xd9\xa5", b"1e3", b"9" * 5000]
)
LINES = st.binary(max_size=60) | st.builds(
    line_of,
    st.sampled_from([b"C", b"D", b"T", b"E", b"\1", b"\2"]),
    st.lists(NUMBERS | st.sampled_from([b"0644", b"..", b".", b"a/b", b"f", b"a\0"]), max_size=5),
)


@given(ENTRIES | TIMES | COMPLAINTS | st.just(End()))
def test_what_is_written_is_read_back(line: Line) -> None:
    data = written(line)
    assert data.count(b"\n") == 1
    assert parse(data[:-1]) == line


@given(LINES)
def test_what_is_read_is_within_what_the_system_takes(line: bytes) -> None:
    try:
        said = parse(line)
    except LineError:
        return
    if isinstance(said, Entry):
        assert 0 <= said.mode <= 0o7777
        assert 0 <= said.size <= MAX_SIZE
        assert said.name not in {b"", b".", b".."}
        assert not set(said.name) & set(b"/\0\n")
    elif isinstance(said, Times):
        assert 0 <= min(said.both) <= max(said.both) <= MAX_TIME


@pytest.mark.parametrize("line", [b"C0644 -5 f", b"C0644 5", b"C0644  5 f", b"T1 0 2", b"", b"EE"])
def test_what_scp_would_not_send(line: bytes) -> None:
    with pytest.raises(LineError, match="protocol error"):
        parse(line)


def test_a_name_with_a_line_in_it_is_written_as_scp_writes_it() -> None:
    assert written(Entry(False, 0o644, 3, b"a\nb")) == b"C0644 3 a\\^Jb\n"
    assert written(Times(-1, -5)) == b"T0 0 0 0\n"
