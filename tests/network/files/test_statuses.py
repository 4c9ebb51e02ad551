"""How failures are told, on a disk that is really full too, and OpenSSH's extensions in use."""

import grp
import os
import pwd
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest

from tests.network.disk import small_disk
from tests.network.files.host import Running

TOO_BIG = 300_000
"""Bytes, more than the small disk has."""
FULL = "No space left on device"
RSYNC_FILE_ERROR = 11


@pytest.fixture
async def sftp(box: Running) -> AsyncIterator[asyncssh.SFTPClient]:
    async with box.asyncssh_sftp() as sftp:
        yield sftp


@pytest.fixture
def disk(box: Running) -> Iterator[Path]:
    """A small disk; `big` beside it does not fit."""
    (box.directory / "big").write_bytes(os.urandom(TOO_BIG))
    path = box.directory / "disk"
    with small_disk(path):
        yield path


async def test_codes(box: Running, sftp: asyncssh.SFTPClient) -> None:
    d = box.directory
    (d / "file").touch()
    (d / "dir" / "inner").mkdir(parents=True)
    for missing in (d / "none", d / "none" / "deeper", d / "file" / "below"):
        with pytest.raises(asyncssh.SFTPNoSuchFile, match="No such file"):
            await sftp.stat(str(missing))
        with pytest.raises(asyncssh.SFTPNoSuchFile, match="No such file"):
            await sftp.open(str(missing))
    with pytest.raises(asyncssh.SFTPPermissionDenied, match="Permission denied"):
        await sftp.remove("/proc/version")
    with pytest.raises(asyncssh.SFTPFailure, match="Directory not empty"):
        await sftp.rmdir(str(d / "dir"))
    with pytest.raises(asyncssh.SFTPFailure, match="File exists"):
        await sftp.mkdir(str(d / "dir"))
    with pytest.raises(asyncssh.SFTPBadMessage, match="Bad message"):
        await sftp.mkdir(str(d / ("n" * 300)))


async def test_a_full_disk(box: Running, disk: Path, sftp: asyncssh.SFTPClient) -> None:
    async with sftp.open(str(disk / "raw"), "wb") as file:
        with pytest.raises(asyncssh.SFTPFailure, match=FULL):
            await file.write(b"x" * TOO_BIG)
    (disk / "raw").unlink()
    result = await box.run("scp", "-F", box.config, "big", f"box:{disk}/scp")
    assert (result.code, b"Failure" in result.err) == (1, True), result
    result = await box.run("scp", "-O", "-F", box.config, "big", f"box:{disk}/legacy")
    assert (result.code, FULL.encode() in result.err) == (1, True), result
    result = await box.run("rsync", "-e", f"ssh -F {box.config}", "big", f"box:{disk}/rsync")
    assert result.code == RSYNC_FILE_ERROR, result
    noted = {note.data["path"]: note.data["result"] for note in box.gate.events("file.upload")}
    assert noted == {f"{disk}/raw": FULL, f"{disk}/scp": FULL}


@pytest.mark.parametrize("command", ["put {d}/big {d}/disk/b", "cp {d}/big {d}/disk/b"])
async def test_a_full_disk_is_told_by_openssh_and_recorded(
    box: Running, disk: Path, command: str
) -> None:
    result = await box.sftp(command.format(d=box.directory))
    assert result.code == 1
    assert b"Failure" in result.err
    (note,) = box.gate.events("file.upload")
    assert (note.data["path"], note.data["result"]) == (f"{disk}/b", FULL)
    assert (await box.sftp(f"rm {disk}/b", f"put {box.key} {disk}/b")).code == 0


async def spoken(box: Running, *lines: str) -> str:
    """What OpenSSH's sftp says that it asks and is answered."""
    batch = "".join(f"{line}\n" for line in lines).encode()
    argv = ("sftp", "-vvv", "-F", box.config, "-b", "-", "box")
    result = await box.run(*argv, stdin=batch)
    assert result.code == 0, result
    return result.text


async def test_limits(box: Running) -> None:
    said = await spoken(box, "pwd")
    assert "Received limits reply" in said
    assert "upload/download buffer sizes 261120 / 261120; using 261120 / 261120" in said


async def test_fsync(box: Running) -> None:
    (box.directory / "f").write_bytes(b"x" * 1000)
    said = await spoken(box, f"put -f {box.directory}/f {box.directory}/g")
    assert "SSH2_FXP_STATUS 0" in said.split("SSH2_FXP_EXTENDED(fsync@openssh.com)")[1]
    assert (box.directory / "g").read_bytes() == b"x" * 1000


async def test_lsetstat_changes_the_link_itself(box: Running) -> None:
    d = box.directory
    (d / "file").touch(0o640)
    (d / "link").symlink_to("file")
    uid = os.getuid()
    said = await spoken(box, f"chown -h {uid} {d}/link", f"chmod -h 604 {d}/file")
    assert said.count("SSH2_FXP_EXTENDED(lsetstat@openssh.com)") == 2
    assert stat.S_IMODE((d / "file").stat().st_mode) == 0o604
    refused = await box.sftp(f"chmod -h 777 {d}/link")  # Linux has no modes of links
    assert refused.code == 1
    assert stat.S_IMODE((d / "file").stat().st_mode) == 0o604


async def test_users_and_groups_by_number(box: Running) -> None:
    d = box.directory
    (d / "mine").touch()
    said = await spoken(box, f"ls -l {d}")
    assert "SSH2_FXP_EXTENDED(users-groups-by-id@openssh.com)" in said
    (line,) = [line for line in said.splitlines() if line.endswith("mine")]
    assert pwd.getpwuid(os.getuid()).pw_name in line
    assert grp.getgrgid(os.getgid()).gr_name in line


async def test_copy_data(box: Running) -> None:
    (box.directory / "a").write_bytes(b"content")
    said = await spoken(box, f"cp {box.directory}/a {box.directory}/b")
    assert "Sent message copy-data" in said
    assert (box.directory / "b").read_bytes() == b"content"


async def test_expand_path(box: Running) -> None:
    (box.directory / "b").write_bytes(b"content")
    me = pwd.getpwuid(os.getuid())
    path = os.path.relpath(box.directory / "b", me.pw_dir)
    copied = await box.run("scp", "-vvv", "-F", box.config, f"box:~{me.pw_name}/{path}", "c")
    assert copied.code == 0, copied
    assert b"SSH2_FXP_EXTENDED(expand-path@openssh.com)" in copied.err
    assert (box.directory / "c").read_bytes() == b"content"


async def test_space_of_the_file_system(box: Running, disk: Path) -> None:
    said = await spoken(box, f"df {disk}")
    assert "SSH2_FXP_EXTENDED(statvfs@openssh.com)" in said
    assert "256" in [line.split()[0] for line in said.splitlines() if line.split()]
