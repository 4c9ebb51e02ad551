"""`scp -O` served without an scp binary: for roles that may move files but run nothing."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.files.host import Running
from uptui.core.roles import DEVELOPER, Capability
from uptui.host.ssh import scp

MOVER = replace(
    DEVELOPER, name="mover", capabilities=frozenset({Capability.READ, Capability.WRITE})
)
DATA = os.urandom(2_000_003)


@pytest.fixture
def mover(box: Running) -> Running:
    box.gate.role = MOVER
    return box


async def test_file_both_ways(mover: Running) -> None:
    (mover.directory / "a").write_bytes(DATA)
    await mover.ok("scp", "-O", "-F", mover.config, "a", f"box:{mover.directory}/b")
    await mover.ok("scp", "-O", "-F", mover.config, f"box:{mover.directory}/b", "c")
    assert (mover.directory / "c").read_bytes() == DATA
    upload, download = mover.gate.events("file.upload"), mover.gate.events("file.download")
    assert upload[0].data == {"path": f"{mover.directory}/b", "bytes": len(DATA), "result": "ok"}
    assert download[0].data["bytes"] == len(DATA)


async def test_tree_with_modes_and_times_both_ways(mover: Running) -> None:
    inner = mover.directory / "tree" / "in ner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x" * 10)
    (inner / "empty").touch()
    (inner / "file").chmod(0o641)
    os.utime(inner / "file", (1_000_000_000, 1_100_000_000))
    await mover.ok("scp", "-Orp", "-F", mover.config, "tree", f"box:{mover.directory}/there")
    await mover.ok("scp", "-Orp", "-F", mover.config, f"box:{mover.directory}/there", "back")
    for root in ("there", "back"):
        st = (mover.directory / root / "in ner" / "file").stat()
        assert (stat.S_IMODE(st.st_mode), st.st_mtime, st.st_size) == (0o641, 1_100_000_000, 10)
        assert (mover.directory / root / "in ner" / "empty").exists()


@pytest.mark.parametrize("target", ["/proc/none/x", "/dev/full"])
async def test_failure_is_told(mover: Running, target: str) -> None:
    (mover.directory / "a").write_bytes(DATA)
    result = await mover.run("scp", "-O", "-F", mover.config, "a", f"box:{target}")
    assert result.code == 1
    assert b"No such file" in result.err or b"No space left" in result.err


async def test_missing_source(mover: Running) -> None:
    result = await mover.run("scp", "-O", "-F", mover.config, f"box:{mover.directory}/none", "x")
    assert result.code == 1
    assert b"No such file" in result.err


async def test_other_commands_stay_refused(mover: Running) -> None:
    result = await mover.run(*mover.ssh("box", "scp -t /tmp; touch", str(mover.directory / "t")))
    assert result.code != 0
    assert not (mover.directory / "t").exists()


def test_only_the_remote_end_is_recognised() -> None:
    assert scp.parse("scp -p -t -- 'a b'") == scp.ScpCommand(True, b"a b", preserve=True)
    assert scp.parse("scp -r -f dir") == scp.ScpCommand(False, b"dir", recursive=True)
    for command in ("scp a b", "scp -t", "scp -t x; id", "scp -tf x", "scpx -t x", "scp -t 'x"):
        assert scp.parse(command) is None, command


async def test_names_that_are_paths_are_refused(mover: Running) -> None:
    where = mover.directory / "in"
    where.mkdir()
    evil = b"C0644 4 ../planted\nevil\0"
    result = await mover.run(*mover.ssh("box", f"scp -t {where}"), stdin=evil)
    assert result.code == 1
    assert not Path(mover.directory / "planted").exists()


async def test_directories_made_and_files_missed_are_on_record(mover: Running) -> None:
    d = mover.directory
    (d / "tree/sub").mkdir(parents=True)
    (d / "tree/sub/f").write_bytes(DATA)
    await mover.ok("scp", "-Oqr", "-F", mover.config, f"{d}/tree", f"box:{d}/copy")
    assert [note.text for note in mover.gate.events("file.change")] == [
        f"made directory {d}/copy", f"made directory {d}/copy/sub",
    ]  # fmt: skip
    await mover.run("scp", "-Oq", "-F", mover.config, f"box:{d}/none", f"{d}/x")
    [note] = mover.gate.events("file.failed")
    assert note.text == f"cannot open {d}/none: No such file or directory"
