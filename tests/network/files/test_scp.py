"""`scp -O` served without an scp binary: for roles that may move files but run nothing."""

import asyncio
import os
import shutil
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.files.host import Running
from tests.network.sshd import USER, sshd
from uptui.core.roles import DEVELOPER, Capability
from uptui.host.sshd.files.scp_command import ScpCommand, command_of
from uptui.host.sshd.files.shell_words import braces, text

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


def asked_of(command: str) -> tuple[ScpCommand, list[str]] | None:
    asked = command_of(command, {"HOME": "/h o"}.get)
    return None if asked is None else (asked, [text(word) for word in asked.words])


def test_only_the_remote_end_is_recognised() -> None:
    for command, sink, words in (
        ("scp -p -t -- 'a b'", True, ["a b"]),
        ("scp -r -f dir", False, ["dir"]),
        ('scp -f "$HOME/a" $HOME\\$HOME ${HOME} $X', False, ["/h o/a", "/h o$HOME", "/h o", "$X"]),
    ):
        found = asked_of(command)
        assert found is not None, command
        assert (found[0].sink, found[1]) == (sink, words)
    for command in (
        "scp a b", "scp -t", "scp -t x; id", "scp -tf x", "scpx -t x", "scp -t 'x", "scp -f `id`",
        "scp -f $(id)", 'scp -f "$(id)"', "scp -f x | id", "scp -f x > y", "scp -f x & id",
        "scp -f x\nid", "scp -f x\\",
    ):  # fmt: skip
        assert asked_of(command) is None, command


def test_braces_are_bounded() -> None:
    for command in ("scp -f " + "{a,b}" * 40, "scp -f " + "{1..999}" * 9):
        found = asked_of(command)
        assert found is not None
        with pytest.raises(OSError, match="Argument list too long"):
            braces(found[0].words[0])
    found = asked_of("scp -f " + "{" * 30_000)
    assert found is not None
    assert len(braces(found[0].words[0])) == 1


WORDS = (
    "*", ".h*", "?", "[ab]", "[!a]", "'*'", "\\*", "{a,b}", "{a,.hidden,none}", "{1..3}", "d*/f*",
    "*/f{1,2}", "none*", "d*/", "a?c", "'d e'/*", "{b,a}{,x}", "lin*/f1",
)  # fmt: skip
"""After a directory; with a shell's scp, each gives files, or the same complaint."""


async def test_words_in_a_source_mean_what_a_shell_makes_of_them(mover: Running) -> None:
    """The reference is the user's login shell under sshd, which is bash here."""
    d = mover.directory
    for name in (*"ab123*", ".hidden", "abx", "d1/f1", "d1/f2", "d2/f3", "d e/g", "a c", "bx"):
        (d / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (d / "src" / name).write_text(name)
    (d / "src/link").symlink_to("d1")
    (d / "src/denied").mkdir(mode=0)
    away = "../" * 20
    sources = [f"{d}/src/{word}" for word in WORDS]
    sources += [f"{home}/{away}{d}/src/[ab]" for home in ("~", "$HOME", '"${HOME}"', f"~{USER}")]
    with sshd(d / "reference") as reference:
        known = ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
        plain = ["-F", "none", "-i", str(reference.key), "-oLogLevel=ERROR", *known]
        theirs = [*plain, "-P", str(reference.port)]
        for source in sources:
            ours = await copied(mover, ["-F", str(mover.config)], f"box:{source}")
            assert ours == await copied(mover, theirs, f"127.0.0.1:{source}"), source


async def copied(host: Running, options: list[str], source: str) -> tuple[int, list[str]]:
    """The exit status, and what is there after `scp -O` of this source."""
    into = Path(tempfile.mkdtemp(dir=host.directory))
    result = await host.run("scp", "-Orq", *options, source, into)
    found = sorted(str(path.relative_to(into)) for path in into.rglob("*"))
    shutil.rmtree(into)
    return result.code, found


async def test_files_before_1970_keep_the_beginning_of_time(mover: Running) -> None:
    old = mover.directory / "old"
    old.touch()
    os.utime(old, (-300_000_000, -300_000_000))
    await mover.ok("scp", "-Op", "-F", mover.config, f"box:{old}", "got")
    assert (mover.directory / "got").stat().st_mtime == 0
    await mover.ok("scp", "-Op", "-F", mover.config, "old", f"box:{mover.directory}/put")
    assert (mover.directory / "put").stat().st_mtime == 0


async def test_several_places_are_no_target(mover: Running) -> None:
    for name in ("t1", "t2", "f"):
        (mover.directory / name).mkdir() if name != "f" else (mover.directory / name).touch()
    result = await mover.run("scp", "-O", "-F", mover.config, "f", f"box:{mover.directory}/t*")
    assert result.code == 1
    assert b"ambiguous target" in result.err
    await mover.ok("scp", "-O", "-F", mover.config, "f", f"box:{mover.directory}/t[1]")
    assert (mover.directory / "t1/f").exists()


async def test_who_may_only_write_learns_no_names(mover: Running) -> None:
    mover.gate.change_role(replace(MOVER, capabilities=frozenset({Capability.WRITE})))
    (mover.directory / "into").mkdir()
    (mover.directory / "f").touch()
    result = await mover.run("scp", "-O", "-F", mover.config, "f", f"box:{mover.directory}/in*/f")
    assert result.code == 1
    assert not list((mover.directory / "into").iterdir())


async def test_wildcards_stay_within_a_root(mover: Running) -> None:
    d = mover.directory
    (d / "root/sub").mkdir(parents=True)
    (d / "root/sub/in").touch()
    (d / "secret").touch()
    (d / "root/out").symlink_to(d)
    mover.gate.change_role(replace(MOVER, files_root=str(d / "root")))
    assert (await copied(mover, ["-F", str(mover.config)], f"box:{d}/root/*/*"))[1] == ["in"]
    assert (await copied(mover, ["-F", str(mover.config)], f"box:{d}/*"))[1] == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"C0644 4 ../planted\nevil\0", b"unexpected filename: ../planted"),
        (b"C0644 4 ..\nevil\0", b"unexpected filename: .."),
        (b"C0644 4 a\0b\nevil\0", b"unexpected filename"),
        (b"C0644 -5 f\n", b"size not present"),
        (b"C0644 9223372036854775808 f\n", b"size out of range"),
        (b"C-644 5 f\nevil!\0", b"bad mode"),
        (b"T1180591620717411303424 0 0 0\nC0644 0 f\n\0", b"time out of range"),
        (b"T0 0 -1 0\nC0644 0 f\n\0", b"time not present"),
        (b"D0755 0 d\n", b"received directory without -r"),
        (b"hello\n", b"expected control record"),
        (b"C" + b"0" * 70_000, b"control line too long"),
    ],
)
async def test_a_line_that_no_scp_sends_ends_the_copy_and_says_why(
    mover: Running, sent: bytes, said: bytes
) -> None:
    where = mover.directory / "in"
    where.mkdir()
    async with asyncio.timeout(20):
        result = await mover.run(*mover.ssh("box", f"scp -t {where}"), stdin=sent)
    assert result.code == 1
    assert b"\2scp: protocol error: " in result.out
    assert said in result.out
    assert not Path(mover.directory / "planted").exists()
    assert not list(where.iterdir())


async def test_times_as_far_as_the_system_has_them(mover: Running) -> None:
    lines = b"T9223372036854775807 0 9223372036854775807 999999\nC0644 0 f\n\0"
    argv = mover.ssh("box", f"scp -pt {mover.directory}/f")
    assert (await mover.run(*argv, stdin=lines)).out == bytes(4)
    assert (mover.directory / "f").stat().st_mtime > 2**33


@pytest.mark.parametrize("direction", ["from", "to"])
async def test_a_copy_ends_when_the_role_sees_other_files(mover: Running, direction: str) -> None:
    d = mover.directory
    for name in ("one", "two"):
        (d / name).mkdir()
    with (d / "one/big").open("wb") as file:
        file.truncate(1 << 36)
    mover.gate.change_role(replace(MOVER, files_root=str(d / "one")))
    there, here = "box:" + str(d / "one/big"), "copied"
    if direction == "to":
        there, here = str(d / "one/big"), f"box:{d}/one/there"
    task = asyncio.create_task(mover.run("scp", "-O", "-F", mover.config, there, here))
    copied = d / "copied" if direction == "from" else d / "one/there"
    async with asyncio.timeout(20):
        while not copied.exists():
            await asyncio.sleep(0.01)
    mover.gate.change_role(replace(MOVER, files_root=str(d / "two")))
    result = await task
    assert result.code == 1
    assert b"access has changed" in result.err
    (note,) = mover.gate.events("file.download" if direction == "from" else "file.upload")
    assert note.data["result"] == "access has changed"


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
