"""Lines for a reader that stands still, goes on, or leaves."""

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from uptui.runtime.writer_thread import MAX_WAITING, WriterThread

LINE = "x" * 1023 + "\n"
MANY = 3 * MAX_WAITING // len(LINE)


@pytest.fixture
def pipe() -> Generator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        if Path(f"/dev/fd/{fd}").exists():
            os.close(fd)


def lost(count: int) -> str:
    return f"lost {count}\n"


def read_until(fd: int, last: str) -> list[str]:
    data = b""
    while not data.endswith(last.encode()):
        data += os.read(fd, 65536)
    return data.decode().splitlines(keepends=True)


def test_a_reader_that_stands_still_holds_nobody_up(pipe: tuple[int, int]) -> None:
    outlet = WriterThread(pipe[1], lost)
    start = time.monotonic()
    for _ in range(MANY):
        outlet.write(LINE)
    outlet.close(0.01)
    assert time.monotonic() - start < 5
    lines: list[str] = []
    while not lines or not lines[-1].startswith("lost"):
        lines += read_until(pipe[0], "\n")
    kept = len(lines) - 1
    assert lines[:-1] == [LINE] * kept
    assert lines[-1] == f"lost {MANY - kept}\n"
    assert kept * len(LINE) <= MAX_WAITING + 2 * 65536
    outlet.write("after\n")
    assert read_until(pipe[0], "after\n") == ["after\n"]


def test_the_end_waits_for_the_last_line(pipe: tuple[int, int]) -> None:
    outlet = WriterThread(pipe[1], lost)
    outlet.write("one\n")
    outlet.write("zwei ü\n")
    outlet.close()
    assert os.read(pipe[0], 100).decode() == "one\nzwei ü\n"


def test_a_reader_that_left_holds_nobody_up(pipe: tuple[int, int]) -> None:
    outlet = WriterThread(pipe[1], lost)
    os.close(pipe[0])
    for _ in range(MANY):
        outlet.write(LINE)
    outlet.close()
