"""Other people's clients: PuTTY, lftp, rclone, curl, sshfs, paramiko, ansible."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import asyncssh
import paramiko
import pytest

from tests.network.files.host import Running
from tests.network.sshd import USER, curl_links, sshd

DATA = os.urandom(1_500_007)


async def test_rclone_copies_and_checks(box: Running) -> None:
    d = box.directory
    (d / "src").mkdir()
    for number in range(20):
        (d / "src" / f"f{number}").write_bytes(DATA[: number * 5000])
    options = [
        "--sftp-host", "127.0.0.1", "--sftp-port", str(box.port), "--sftp-user", "someone",
        "--sftp-key-file", str(box.key), "--config", "/dev/null",
    ]  # fmt: skip
    await box.ok("rclone", "copy", *options, "src", f":sftp:{d}/there")
    await box.ok("rclone", "copy", *options, f":sftp:{d}/there", "back")
    await box.ok("rclone", "check", *options, "--download", "src", f":sftp:{d}/there")
    assert (d / "back" / "f19").read_bytes() == DATA[: 19 * 5000]


async def test_lftp_mirrors_and_resumes(box: Running) -> None:
    d = box.directory
    (d / "src").mkdir()
    (d / "src" / "a b").write_bytes(DATA)
    (d / "part").write_bytes(DATA[:700_000])
    shutil.copy(d / "src" / "a b", d / "whole")
    connect = f"ssh -a -x -F {box.config}"
    script = (
        f'set sftp:connect-program "{connect}"; set net:max-retries 1; open sftp://someone:@box; '
        f"mirror -R src {d}/there && mirror {d}/there back && get -c {d}/whole -o part"
    )
    await box.ok("lftp", "-c", script)
    assert (d / "back" / "a b").read_bytes() == DATA
    assert (d / "part").read_bytes() == DATA


async def test_curl_both_ways(box: Running) -> None:
    d = box.directory
    (d / "up").write_bytes(DATA)
    url = f"sftp://127.0.0.1:{box.port}{d}"
    options = ["-sS", "-k", "-u", "someone:", "--key", str(box.key), "--pubkey", str(d / "id.pub")]
    await box.ok("curl", *options, "-T", "up", f"{url}/there")
    await box.ok("curl", *options, "-o", "down", f"{url}/there")
    assert (d / "down").read_bytes() == DATA
    with sshd(d) as reference:  # some of libssh2's versions misread everybody's answer
        reference.authorized_keys.write_text((d / "id.pub").read_text())
        links = curl_links(USER, reference.port, box.key, d / "there", d / "theirs")
        theirs = await box.run(*links)
    ours = await box.run(*curl_links("someone", box.port, box.key, d / "there", d / "ours"))
    assert (ours.code, ours.err) == (theirs.code, theirs.err)
    assert (d / "ours").readlink() == (d / "theirs").readlink() == d / "there"
    assert (d / "ours.got").exists() == (d / "theirs.got").exists()


async def test_putty_both_ways(box: Running) -> None:
    d = box.directory
    await box.ok("puttygen", str(box.key), "-o", "id.ppk")
    (d / "up").write_bytes(DATA)
    host_key = (d / "known_hosts").read_text().split(None, 1)[1]
    fingerprint = asyncssh.import_public_key(host_key).get_fingerprint()
    options = ["-batch", "-hostkey", fingerprint, "-i", "id.ppk", "-P", str(box.port)]
    where = f"someone@127.0.0.1:{d}"
    await box.ok("pscp", *options, "up", f"{where}/there")
    await box.ok("pscp", *options, f"{where}/there", "down")
    assert (d / "down").read_bytes() == DATA
    (d / "batch").write_text(f"cd {d}\nput up p\nmv p q\nchmod 600 q\nget q r\nls\nquit\n")
    await box.ok("psftp", *options, "-b", "batch", "someone@127.0.0.1")
    assert (d / "q").read_bytes() == (d / "r").read_bytes() == DATA


async def test_paramiko(box: Running) -> None:
    def use() -> None:
        client = paramiko.SSHClient()
        client.load_host_keys(str(box.directory / "known_hosts"))
        with client:
            client.connect(
                "127.0.0.1", box.port, "someone", key_filename=str(box.key), allow_agent=False
            )
            with client.open_sftp() as sftp:
                sftp.chdir(str(box.directory))
                with sftp.open("file", "w") as remote:
                    remote.set_pipelined(True)
                    remote.write(DATA)
                sftp.symlink("file", "link")
                assert sftp.readlink("link") == "file"
                assert sftp.stat("link").st_size == len(DATA)
                with sftp.open("link") as remote:
                    remote.prefetch()
                    assert remote.read() == DATA
                sftp.posix_rename("file", "other")
                sftp.truncate("other", 10)
                assert {"link", "other"} <= set(sftp.listdir())
                with pytest.raises(FileNotFoundError):
                    sftp.stat("file")

    await asyncio.to_thread(use)
    assert (box.directory / "other").read_bytes() == DATA[:10]


async def test_asyncssh(box: Running) -> None:
    async with box.asyncssh_sftp() as sftp:
        await sftp.symlink("target", f"{box.directory}/link")
        assert await sftp.readlink(f"{box.directory}/link") == "target"
        usage = await sftp.statvfs(str(box.directory))
        assert usage.blocks == os.statvfs(box.directory).f_blocks
    assert (box.directory / "link").readlink() == Path("target")


@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="this kernel has no /dev/fuse")
async def test_sshfs(box: Running) -> None:
    d = box.directory
    mount, shared = d / "mnt", d / "shared"
    mount.mkdir()
    shared.mkdir()
    mounted = await box.run("sshfs", "-F", box.config, f"box:{shared}", mount)
    if mounted.code and b"Operation not permitted" in mounted.err:
        pytest.skip(f"this container may not mount: {mounted.text}")
    assert mounted.code == 0, mounted

    def use() -> None:
        (mount / "file").write_bytes(DATA)
        assert (shared / "file").read_bytes() == DATA
        (mount / "file").chmod(0o612)
        (mount / "file").rename(mount / "renamed")
        (mount / "link").symlink_to("renamed")
        with (mount / "link").open("ab") as appended:
            appended.write(b"more")
        assert (mount / "renamed").read_bytes() == DATA + b"more"
        os.link(mount / "renamed", mount / "hard")
        assert sorted(p.name for p in mount.iterdir()) == ["hard", "link", "renamed"]
        (mount / "hard").unlink()

    try:
        await asyncio.to_thread(use)
    finally:
        await box.run("fusermount3", "-u", mount)
    assert stat.S_IMODE((shared / "renamed").stat().st_mode) == 0o612


@pytest.mark.parametrize("method", ["sftp", "scp", "piped"])
async def test_ansible(box: Running, method: str) -> None:
    (box.directory / "src").write_text("payload")
    (box.directory / "hosts").write_text("box\n")
    result = await box.run(
        "ansible", "-i", "hosts", "box", "-m", "copy", "-a", f"src=src dest={box.directory}/dst",
        env={
            "ANSIBLE_SSH_TRANSFER_METHOD": method,
            "ANSIBLE_SSH_ARGS": f"-F {box.config}",
            "ANSIBLE_SCP_EXTRA_ARGS": "-O",
            "ANSIBLE_LOCAL_TEMP": str(box.directory / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(box.directory / "rtmp"),
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        },
    )  # fmt: skip
    assert result.code == 0, result
    assert (box.directory / "dst").read_text() == "payload"
