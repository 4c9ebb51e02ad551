"""Options of authorized_keys lines, beside sshd with the same file."""

from collections.abc import Generator

import pytest

from tests.network.ides.conftest import new_machine
from tests.network.ides.desk import Desk, desk_of, new_key
from tests.network.sshd import Sshd
from tests.ports import free_port

LINES = {
    "forced": 'command="echo forced: $SSH_ORIGINAL_COMMAND"',
    "elsewhere": 'from="192.0.2.0/24"',
    "here": 'from="127.0.0.0/8,!127.0.0.9"',
    "shut": 'from="*,!127.0.0.1"',
    "old": 'expiry-time="20200101"',
    "new": 'expiry-time="29990101"',
    "restricted": "restrict",
    "files": 'restrict,command="internal-sftp"',
    "plain": "",
}


@pytest.fixture(scope="module")
def host(sshd: Sshd) -> Generator[Desk]:
    """A host whose keys have options; sshd has the same file."""
    with new_machine() as machine:
        for name, options in LINES.items():
            new_key(machine.folder / name)
            public = (machine.folder / f"{name}.pub").read_text()
            with sshd.authorized_keys.open("a") as file:
                file.write(f"{options} {public}".lstrip())
        listed = str(sshd.authorized_keys)
        with desk_of(machine, "--authorized-keys", listed, "--unknown", "deny") as desk:
            yield desk


def ssh(desk: Desk, sshd: Sshd | None, key: str, *options: str, program: str = "ssh") -> list[str]:
    """A client with this key: of sshd, or of the host's own port."""
    at = desk.ways["port"]
    port, user, address = (
        (at["port"], at["user"], at["host"]) if sshd is None
        else (sshd.port, sshd.user, "127.0.0.1")
    )  # fmt: skip
    fixed = ["-F", "none", "-i", str(desk.folder / key), "-o", "IdentitiesOnly=yes",
             "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]  # fmt: skip
    return [program, *fixed, "-o", f"Port={port}", *options, f"{user}@{address}"]


@pytest.mark.parametrize("key", sorted(set(LINES) - {"files"}))
def test_a_command_does_what_it_does_with_sshd(host: Desk, sshd: Sshd, key: str) -> None:
    done = [host.run(*ssh(host, beside, key), "echo asked") for beside in (None, sshd)]
    ours, theirs = ((one.returncode, one.stdout) for one in done)
    assert ours == theirs


def test_a_forced_command_takes_the_place_of_every_request(host: Desk, sshd: Sshd) -> None:
    for beside in (None, sshd):
        assert host.ok(*ssh(host, beside, "forced"), stdin=b"echo typed\n") == b"forced:\n"
        copied = host.run(*ssh(host, beside, "forced", program="sftp"), stdin=b"pwd\n")
        assert copied.returncode != 0


def test_a_terminal_is_refused_to_a_restricted_key(host: Desk, sshd: Sshd) -> None:
    for beside in (None, sshd):
        done = host.run(*ssh(host, beside, "restricted", "-tt"), "tty")
        assert (done.returncode, done.stdout) == (255, b"")
        assert b"PTY allocation request failed" in done.stderr
        assert host.ok(*ssh(host, beside, "plain", "-tt"), "tty").startswith(b"/dev/")


def test_files_only(host: Desk, sshd: Sshd) -> None:
    for beside in (None, sshd):
        argv = ssh(host, beside, "files", "-b", "-", program="sftp")
        assert b"Remote working directory" in host.ok(*argv, stdin=b"pwd\n")


def test_a_restricted_key_forwards_nothing(host: Desk, sshd: Sshd) -> None:
    for beside in (None, sshd):
        there = ("-W", f"127.0.0.1:{sshd.port}")
        done = host.run(*ssh(host, beside, "restricted", *there))
        assert (done.returncode, done.stdout) == (255, b"")
        assert host.run(*ssh(host, beside, "plain", *there)).stdout.startswith(b"SSH-2.0-")
        remote = ("-R", f"{free_port()}:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes")
        assert host.run(*ssh(host, beside, "restricted", *remote), "true").returncode == 255
