"""The record on disk: rotation, permissions, a full disk, reading back and following."""

import asyncio
import json
import os
import resource
import stat
from pathlib import Path

import pytest

from uptui.core.events import Record
from uptui.host.storage.event_log import (
    PORTION,
    RING,
    SHOWN,
    EventLog,
    Filter,
    follow,
    read_back,
    rotated,
)
from uptui.host.storage.folding import APART, APART_STRANGER, MAX_SERIES, STRANGERS, WINDOW
from uptui.protocol.host_api import LogEntry
from uptui.protocol.names import ClientId, Fingerprint


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

    monkeypatch.setattr("uptui.host.storage.event_log.os.write", counted)
    log = EventLog(tmp_path / "events.jsonl")
    for n in range(2000):
        log.append(record(f"entry {n}"))
    assert log.flush()
    assert len(log.path.read_text().splitlines()) == 2000
    assert len(written) < 40
    assert max(written) <= PORTION
    log.close()


def test_bulk_pushes_no_act_of_people_out(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", max_file=64 * 1024)
    now = 1e9
    log.append(Record(now, "client.joined", "alice joined"))
    for number in range(20_000):
        log.append(Record(now + 1, "session.exec", f"runs {number}"))
        if number % 1000 == 0:
            assert log.flush(30)
    log.append(Record(now + 2, "client.kicked", "alice was shown out"))
    assert log.flush(30)
    for entries in (log.after(0, 1000), read_back(log.path, None)):
        assert entries[0].text == "alice joined"
        assert entries[-1].text == "alice was shown out"
    assert log.newest[0].text == "alice joined"
    log.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 6 * 64 * 1024


def change(number: int, at: float = 1e9) -> Record:
    data: dict[str, str | int | float | bool | None] = {"path": f"/d/{number}", "bytes": 10}
    return Record(
        at, "file.upload", f"uploaded /d/{number}", name="alice",
        fingerprint=Fingerprint("SHA256:a"), data=data,
    )  # fmt: skip


def refused(address: str, text: str = "a key was not accepted") -> Record:
    return Record(1e9, "key.refused", text, data={"address": address})


def test_repeats_become_one_entry_when_their_window_is_over(tmp_path: Path) -> None:
    now = 0.0
    log = EventLog(tmp_path / "events.jsonl", steady=lambda: now)
    for number in range(APART + 300):
        log.append(change(number, 1e9 + number))
    assert [entry.text for entry in log.after(0, 1000)] == [
        f"uploaded /d/{number}" for number in range(APART)
    ], "what is counted is not told twice"
    live = log.newest[-1]
    assert (live.count, live.since, live.at) == (300, 1e9 + APART, 1e9 + APART + 299)
    log.append(Record(2e9, "client.kicked", "bob was shown out"))
    now = WINDOW
    log.check()
    (written,) = log.after(live.n + 1, 1000)
    assert (written.count, written.text, written.data["bytes"]) == (300, live.text, 3000)
    assert "300 times since " in written.sentence
    assert written.sentence.endswith(f"alice uploaded /d/{APART + 299}")
    assert log.counted == []
    log.append(change(0))
    assert log.newest[-1].count == 1, "a new window begins"
    log.close()
    assert [entry.count for entry in read_back(log.path, None) if entry.count > 1] == [300]


def test_what_is_counted_is_written_at_the_end(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for _ in range(APART_STRANGER + 7):
        log.append(refused("198.51.100.1"))
    log.close()
    assert read_back(log.path, None)[-1].count == 7


def test_strangers_are_counted_by_source_and_their_number_has_a_bound(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for number in range(40):
        log.append(refused(f"2001:db8::{number:x}"))
    log.append(refused("2001:db8:0:1::1"))
    assert [entry.count for entry in log.counted] == [40 - APART_STRANGER], "a /64 is one source"
    for number in range(3 * MAX_SERIES):
        log.append(refused(f"10.0.{number // 250}.{number % 250}"))
    assert len(log.counted) == 2
    assert len(log.after(0, 10_000)) == STRANGERS
    log.close()


def test_no_command_hides_behind_others_and_acts_of_people_are_never_folded(
    tmp_path: Path,
) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for _ in range(100):
        log.append(Record(1e9, "session.exec", "runs true", name="alice"))
        log.append(Record(1e9, "client.role", "alice is guest", name="alice"))
    log.append(Record(1e9, "session.exec", "runs rm -r /", name="alice"))
    assert [entry.count for entry in log.counted] == [100 - APART]
    told = [entry.text for entry in log.after(0, 1000)]
    assert told.count("alice is guest") == 100
    assert told[-1] == "runs rm -r /"
    log.close()


def test_files_of_older_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"n":1,"at":1.0,"level":"info","event":"client.joined","text":"bob joined"}\n')
    (entry,) = read_back(path, None)
    assert (entry.count, entry.since, entry.sentence) == (1, None, "bob joined")
