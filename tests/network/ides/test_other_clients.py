"""Other people's clients at the relay's own doors: jump and plain are another SSH server."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import asyncssh
import pytest

from tests.network.ides.conftest import Origin
from tests.network.ides.desk import WAYS, Desk, fetch
from tests.network.sshd import USER, curl_links, sshd
from tests.ports import free_port

DATA = os.urandom(300_000)


def dropbear_key(desk: Desk) -> Path:
    key = desk.folder / "dropbear"
    if not key.exists():
        desk.ok("dropbearconvert", "openssh", "dropbear", str(desk.key), str(key))
    return key


@pytest.mark.parametrize("way", WAYS)
def test_dropbear(desk: Desk, way: str) -> None:
    at = desk.ways[way]
    dbclient = shutil.which("dbclient")  # it runs itself again, by its name, for a jump
    assert dbclient is not None, "these tests need Debian's package dropbear-bin"
    options = [dbclient, "-y", "-y", "-T", "-i", str(dropbear_key(desk))]
    if way == "jump":
        where = [f"{at['user']}@{at['host']}^{at['port']},dev@{at['target']}"]
    else:
        where = ["-p", str(at["port"]), f"{at['user']}@{at['host']}"]
    done = desk.run(*options, *where, "cat; exit 9", stdin=DATA, HOME=str(desk.folder))
    assert (done.returncode, done.stdout) == (9, DATA), done.stderr


def putty(desk: Desk, way: str) -> list[str]:
    """Options of PuTTY's tools that lead to the host, which comes last."""
    ppk = desk.folder / "key.ppk"
    if not ppk.exists():
        desk.ok("puttygen", str(desk.key), "-o", str(ppk), "-O", "private")
    at = desk.ways[way]
    options = ["-batch", "-i", str(ppk), "-hostkey"]
    if way != "jump":
        return [
            *options,
            fingerprint(desk, at),
            "-P",
            str(at["port"]),
            f"{at['user']}@{at['host']}",
        ]
    relay = fingerprint(desk, at)
    proxy = (f"plink -batch -hostkey {relay} -P {at['port']} -nc %host:%port "
             f"{at['user']}@{at['host']}")  # fmt: skip
    trusted = asyncssh.import_public_key(desk.host_key).get_fingerprint()
    return [*options, trusted, "-proxycmd", proxy, f"dev@{at['target']}"]


@pytest.mark.parametrize("way", WAYS)
def test_plink(desk: Desk, way: str) -> None:
    done = desk.run("plink", *putty(desk, way), "cat; exit 4", stdin=DATA, HOME=str(desk.folder))
    assert (done.returncode, done.stdout) == (4, DATA), done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_psftp(desk: Desk, way: str) -> None:
    folder = desk.folder / f"psftp-{way}"
    folder.mkdir()
    (folder / "up").write_bytes(DATA)
    (folder / "batch").write_text(
        f"lcd {folder}\nmkdir {folder.name}\ncd {folder.name}\nput up\nmv up over\n"
        "chmod 604 over\nget over down\nquit\n"
    )
    options = putty(desk, way)
    desk.ok("psftp", "-b", str(folder / "batch"), *options, HOME=str(desk.folder))
    there = desk.home / folder.name / "over"
    assert there.read_bytes() == (folder / "down").read_bytes() == DATA
    assert stat.S_IMODE(there.stat().st_mode) == 0o604


def fingerprint(desk: Desk, at: dict[str, str]) -> str:
    scanned = desk.ok("ssh-keyscan", "-t", "ed25519", "-p", str(at["port"]), at["host"]).split()
    return asyncssh.import_public_key(b" ".join(scanned[1:3])).get_fingerprint()


@pytest.mark.parametrize("way", ["port", "plain"])
def test_curl_with_libssh2(desk: Desk, way: str) -> None:
    at = desk.ways[way]
    (desk.folder / "up").write_bytes(DATA)
    url = f"sftp://{at['host']}:{at['port']}{desk.home}/curl-{way}"
    options = ["-sS", "-k", "-u", f"{at['user']}:", "--key", str(desk.key),
               "--pubkey", f"{desk.key}.pub"]  # fmt: skip
    desk.ok("curl", *options, "-T", str(desk.folder / "up"), url)
    assert desk.ok("curl", *options, url) == DATA
    file, ours = desk.home / f"curl-{way}", desk.home / f"curl-link-{way}"
    theirs = desk.folder / f"curl-link-{way}"
    with sshd(desk.folder / f"sshd-{way}") as reference:  # libssh2 may misread everybody's answer
        reference.authorized_keys.write_text(Path(f"{desk.key}.pub").read_text())
        wanted = desk.run(*curl_links(USER, reference.port, desk.key, file, theirs))
    done = desk.run(*curl_links(at["user"], at["port"], desk.key, file, ours))
    assert (done.returncode, done.stderr) == (wanted.returncode, wanted.stderr)
    assert ours.readlink() == theirs.readlink() == file


@pytest.mark.parametrize("way", WAYS)
def test_rsync_and_git(desk: Desk, way: str) -> None:
    source = desk.folder / f"tree-{way}"
    source.mkdir()
    (source / "a b").write_bytes(DATA)
    shell = " ".join(desk.ssh())
    desk.ok("rsync", "-a", "-e", shell, f"{source}/", f"{way}:rsync-{way}/")
    assert (desk.home / f"rsync-{way}" / "a b").read_bytes() == DATA
    repository = desk.home / f"{way}.git"
    desk.ok(*desk.ssh(way, f"git init -q --bare {repository}"))
    settings = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "."], [*settings, "commit", "-qm", "x"],
                  ["push", "-q", f"{way}:{repository}", "HEAD:refs/heads/main"]):  # fmt: skip
        desk.ok("git", "-C", str(source), *words, GIT_SSH_COMMAND=shell)
    copy = desk.folder / f"clone-{way}"
    desk.ok("git", "clone", "-q", "-b", "main", f"{way}:{repository}", str(copy),
            GIT_SSH_COMMAND=shell)  # fmt: skip
    assert (copy / "a b").read_bytes() == DATA


@pytest.mark.parametrize("way", WAYS)
def test_ansible(desk: Desk, way: str) -> None:
    desk.ok(
        "ansible", "-i", f"{way},", "all", "-m", "ping",
        "-e", "ansible_python_interpreter=/usr/bin/python3",
        ANSIBLE_SSH_ARGS=f"-F {desk.config} -o ControlMaster=auto -o ControlPersist=5s",
        ANSIBLE_SCP_EXTRA_ARGS=f"-F {desk.config}", ANSIBLE_SFTP_EXTRA_ARGS=f"-F {desk.config}",
        ANSIBLE_LOCAL_TEMP=str(desk.folder / "ansible"), HOME=str(desk.folder),
        ANSIBLE_SSH_CONTROL_PATH=str(desk.folder / f"cp-{way}"),
    )  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_forwards_of_openssh_on_each_way(desk: Desk, origin: Origin, way: str) -> None:
    at = origin.offer("/page", DATA).removeprefix("http://").removesuffix("/page")
    local, remote = free_port(), free_port()
    options = ("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{local}:{at}")
    desk.start(*desk.ssh(*options, "-R", f"{remote}:{at}", way))
    assert fetch(f"http://127.0.0.1:{local}/page") == DATA
    assert fetch(f"http://127.0.0.1:{remote}/page") == DATA


def test_no_client_is_asked_for_a_password(desk: Desk) -> None:
    """A key that nobody knows ends the attempt: no client may sit at a prompt."""
    at = desk.ways["port"]
    done = subprocess.run(
        ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "IdentityAgent=none",
         "-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no",
         "-p", str(at["port"]), f"{at['user']}@{at['host']}", "true"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr
