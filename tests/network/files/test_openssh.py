"""OpenSSH's own sftp, scp and what rides on them."""

import os
import stat
from pathlib import Path

import pytest

from tests.network.files.host import Running

SIZE = 3_000_017


async def test_scp_both_ways_ends_with_status_zero(box: Running) -> None:
    data = os.urandom(SIZE)
    (box.directory / "a").write_bytes(data)
    await box.ok("scp", "-F", box.config, "a", f"box:{box.directory}/b")
    await box.ok("scp", "-F", box.config, f"box:{box.directory}/b", "c")
    assert (box.directory / "c").read_bytes() == data


async def test_scp_legacy_mode_and_its_failure(box: Running) -> None:
    (box.directory / "a").write_bytes(b"x" * SIZE)
    await box.ok("scp", "-O", "-F", box.config, "a", f"box:{box.directory}/b")
    assert (box.directory / "b").read_bytes() == b"x" * SIZE
    failed = await box.run("scp", "-O", "-F", box.config, f"box:{box.directory}/none", "c")
    assert failed.code == 1


async def test_recursive_with_modes_and_times(box: Running) -> None:
    tree = box.directory / "tree" / "inner"
    tree.mkdir(parents=True)
    script = tree / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o751)
    os.utime(script, (1_000_000_000, 1_100_000_000))
    await box.ok("scp", "-rp", "-F", box.config, "tree", f"box:{box.directory}/copy")
    st = (box.directory / "copy" / "inner" / "run.sh").stat()
    assert stat.S_IMODE(st.st_mode) == 0o751
    assert (st.st_atime, st.st_mtime) == (1_000_000_000, 1_100_000_000)


@pytest.mark.parametrize("name", [b"with space", "ü☃".encode(), b"latin-\xe9", b"-dash", b"q'uote"])
async def test_odd_names(box: Running, name: bytes) -> None:
    (box.directory / "src").mkdir()
    (box.directory / "src" / os.fsdecode(name)).write_bytes(name)
    await box.ok("scp", "-r", "-F", box.config, "src", f"box:{box.directory}/there")
    await box.ok("scp", "-r", "-F", box.config, f"box:{box.directory}/there", "back")
    assert [os.fsencode(p.name) for p in (box.directory / "back").iterdir()] == [name]


async def test_resume_both_ways(box: Running) -> None:
    data = os.urandom(SIZE)
    d = box.directory
    (d / "whole").write_bytes(data)
    (d / "part").write_bytes(data[:1_000_001])
    result = await box.sftp(f"reput {d}/whole {d}/part")
    assert result.code == 0, result
    assert (d / "part").read_bytes() == data
    (d / "local").write_bytes(data[:7])
    result = await box.sftp(f"reget {d}/whole {d}/local")
    assert result.code == 0, result
    assert (d / "local").read_bytes() == data


async def test_links_renames_and_directories(box: Running) -> None:
    d = box.directory
    (d / "old").write_text("new content")
    (d / "over").write_text("to be replaced")
    result = await box.sftp(
        f"ln -s target {d}/link",
        f"rename {d}/old {d}/over",
        f"ln {d}/over {d}/hard",
        f"mkdir {d}/sub",
        f"cd {d}/sub",
        "pwd",
        "cd ..",
        f"rmdir {d}/sub",
        f"chmod 604 {d}/over",
        f"df {d}",
    )
    assert result.code == 0, result
    assert (d / "link").readlink() == Path("target")
    assert (d / "over").read_text() == "new content"
    assert (d / "hard").stat().st_nlink == 2
    assert stat.S_IMODE((d / "over").stat().st_mode) == 0o604
    assert f"{d}/sub".encode() in result.out
    assert not (d / "sub").exists()


async def test_long_listing_looks_like_ls(box: Running) -> None:
    (box.directory / "f").write_bytes(b"12345")
    (box.directory / "f").chmod(0o640)
    result = await box.sftp(f"ls -la {box.directory}")
    assert "-rw-r-----" in result.text
    assert " 5 " in result.text
    assert f"{box.directory}/.." in result.text


async def test_tilde_means_home(box: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    home = box.directory / "home"
    home.mkdir()
    (home / "mine").write_text("at home")
    monkeypatch.setenv("HOME", str(home))
    await box.ok("scp", "-F", box.config, "box:~/mine", "a")
    await box.ok("scp", "-F", box.config, "a", "box:~/yours")
    assert (home / "yours").read_text() == "at home"
    missing = await box.run("scp", "-F", box.config, "box:~/none", "x")
    assert missing.code == 1
    assert b"No such file" in missing.err


async def test_copy_on_the_server(box: Running) -> None:
    data = os.urandom(SIZE)
    (box.directory / "a").write_bytes(data)
    result = await box.sftp(f"cp {box.directory}/a {box.directory}/b")
    assert result.code == 0, result
    assert (box.directory / "b").read_bytes() == data


async def test_transfers_are_recorded_and_reported(box: Running) -> None:
    (box.directory / "a").write_bytes(b"x" * 1000)
    await box.ok("scp", "-F", box.config, "a", f"box:{box.directory}/b")
    await box.ok("scp", "-F", box.config, f"box:{box.directory}/b", "c")
    up, down = box.gate.events("file.upload"), box.gate.events("file.download")
    assert [n.data for n in up] == [{"path": f"{box.directory}/b", "bytes": 1000, "result": "ok"}]
    assert [n.data for n in down] == [{"path": f"{box.directory}/b", "bytes": 1000, "result": "ok"}]
    transfers = box.gate.guests[0].report().transfers
    assert [(t.direction, t.bytes, t.error) for t in transfers] == [("upload", 1000, "")]


async def test_rsync_both_ways(box: Running) -> None:
    tree = box.directory / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / f"f{number}").write_bytes(os.urandom(number * 100))
    shell = f"ssh -F {box.config}"
    await box.ok("rsync", "-a", "-e", shell, "tree/", f"box:{box.directory}/there/")
    await box.ok("rsync", "-a", "-e", shell, f"box:{box.directory}/there/", "back/")
    for number in range(50):
        assert (box.directory / "back" / f"f{number}").read_bytes() == (
            tree / f"f{number}"
        ).read_bytes()


async def test_git_push_and_clone(box: Running) -> None:
    env = {
        "GIT_SSH_COMMAND": f"ssh -F {box.config}",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.org",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.org",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    url = f"ssh://box{box.directory}/bare.git"
    for argv in (
        ["git", "init", "-q", "--bare", "-b", "main", "bare.git"],
        ["git", "init", "-q", "-b", "main", "work"],
        ["git", "-C", "work", "commit", "-q", "--allow-empty", "-m", "first"],
        ["git", "-C", "work", "push", "-q", url, "main"],
        ["git", "clone", "-q", url, "clone"],
    ):
        result = await box.run(*argv, env=env)
        assert result.code == 0, result
    log = await box.run("git", "-C", "clone", "log", "--format=%s", env=env)
    assert log.out == b"first\n"
