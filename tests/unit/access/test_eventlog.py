"""The record on disk: rotation, permissions, a full disk, reading back and following."""

import asyncio
import json
import os
import resource
import stat
from pathlib import Path

import pytest

from uptui.core.events import Record
from uptui.host.eventlog import PORTION, RING, SHOWN, EventLog, Filter, follow, read_back, rotated
from uptui.protocol.host_api import LogEntry
from uptui.protocol.names import ClientId


def record(text: str, **more: object) -> Record:
    return Record(1.5, "test.event", text, **more)  # type: ignore[arg-type]


def test_entries_are_numbered_private_json_lines(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "deep" / "events.jsonl")
    for n in range(3):
        log.append(record(f"entry {n}"))
    log.close()
    lines = log.path.read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == [1, 2, 3]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert [entry.text for entry in read_back(log.path, 2)] == ["entry 1", "entry 2"]


def test_files_are_rotated_and_few(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", max_file=2000, max_files=3)
    for n in range(200):
        log.append(record(f"entry {n} {'x' * 50}"))
    assert log.flush()
    sizes = [file.stat().st_size for file in sorted(tmp_path.iterdir())]
    assert len(sizes) == 3
    assert all(size <= 2000 for size in sizes)
    texts = [entry.text.split()[1] for entry in read_back(log.path, 1000)]
    assert texts == [str(n) for n in range(200 - len(texts), 200)]
    log.close()


def test_a_restart_goes_on_in_the_same_file_and_skips_damage(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        log = EventLog(path)
        log.append(record("one"))
        log.close()
        with path.open("ab") as file:
            file.write(b'{"n": "damaged\n')
    assert [entry.text for entry in read_back(path, 10)] == ["one", "one"]


def test_a_full_disk_is_reported_once_and_kills_nothing(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "dir" / "events.jsonl")
    (tmp_path / "dir").write_text("in the way")
    log.append(record("lost"))
    assert log.flush()
    failed = log.check()
    assert failed is not None
    assert failed.level == "warning"
    log.append(record("lost too"))
    assert log.flush()
    assert log.check() is None, "reported once"
    assert [e.event for e in log.newest] == ["test.event", "log.failed", "test.event"]
    (tmp_path / "dir").unlink()
    log.append(record("kept"))
    assert log.flush()
    recovered = log.check()
    assert recovered is not None
    assert "2 entries were lost" in recovered.text
    log.close()
    assert [e.text for e in read_back(log.path, 10)] == ["kept", recovered.text]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "events.jsonl").symlink_to(victim)
    log = EventLog(tmp_path / "events.jsonl")
    log.append(record("x"))
    assert log.flush()
    assert log.problem
    log.close()
    assert victim.read_text() == "mine"


def test_a_partly_written_line_is_taken_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append(record("whole"))
    assert log.flush()
    size = log.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        log.append(record("does not fit"))
        assert log.flush()
        assert log.path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.close()


def test_the_ring_is_bounded_and_says_what_is_new(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for n in range(RING + 10):
        log.append(record(str(n)))
    assert len(log.newest) == SHOWN
    assert [e.n for e in log.after(RING + 7, 100)] == [RING + 8, RING + 9, RING + 10]
    assert len(log.after(0, 10**6)) == RING
    log.close()


def test_filters() -> None:
    entry = LogEntry(
        n=1, at=1.0, level="notice", event="x", text="", client_id=ClientId("c1"), name="bob"
    )
    assert Filter().matches(entry)
    assert Filter("notice", "bob").matches(entry)
    assert Filter(client="c1").matches(entry)
    assert not Filter("warning").matches(entry)
    assert not Filter(client="alice").matches(entry)


async def test_following_survives_rotation(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", max_file=3000, max_files=3)
    log.append(record("before"))
    assert log.flush()
    seen: list[str] = []

    async def watch() -> None:
        nonlocal seen
        async for entry in follow(log.path, interval=0.01):
            seen += [entry.text]

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    for n in range(60):
        log.append(record(str(n)))
        assert log.flush()
        async with asyncio.timeout(10):
            while not seen or seen[-1] != str(n):
                await asyncio.sleep(0.005)
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    assert seen == [str(n) for n in range(60)]
    assert rotated(log.path, 1).exists()
    log.close()


def test_entries_that_came_together_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write takes the interpreter from the event loop, which serves thousands of files."""
    written: list[int] = []
    native = os.write

    def counted(fd: int, data: bytes) -> int:
        written.append(len(data))
        return native(fd, data)

    monkeypatch.setattr("uptui.host.eventlog.os.write", counted)
    log = EventLog(tmp_path / "events.jsonl")
    for n in range(2000):
        log.append(record(f"entry {n}"))
    assert log.flush()
    assert len(log.path.read_text().splitlines()) == 2000
    assert len(written) < 40
    assert max(written) <= PORTION
    log.close()
