"""OpenSSH's own server on a loopback port: what our answers are compared with."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.ports import free_port

PROGRAM: Final = shutil.which("sshd") or "/usr/sbin/sshd"
USER: Final = getpass.getuser()
PATIENCE: Final = 20.0


class Sshd:
    """One sshd for the user who runs the tests, with the keys of a file that tests write."""

    def __init__(self, folder: Path, *settings: str, under: Sequence[str] = ()) -> None:
        """`folder` is made where it is missing; `under` is a command, if any, that runs it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.user = USER
        self.port = free_port()
        self.authorized_keys = folder / "authorized_keys"
        self.log = folder / "sshd.log"
        self.key = folder / "sshd_client"
        """A key that is let in as long as `authorized_keys` is left as it is."""
        for name in ("sshd_host", "sshd_client"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(argv, check=True)
        self.authorized_keys.write_text((folder / "sshd_client.pub").read_text())
        lines = (
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {folder}/sshd_host",
            f"AuthorizedKeysFile {self.authorized_keys}",
            "Subsystem sftp internal-sftp",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "LogLevel VERBOSE",
            "PermitRootLogin yes",
            *settings,
        )
        config = folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks up who has not logged in
        self._process = subprocess.Popen(
            [*under, PROGRAM, "-D", "-f", config, "-E", self.log], stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while not _listens(self.port):
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "sshd does not start"
            time.sleep(0.02)

    def command(self, *arguments: str) -> list[str]:
        """An ssh command line; `arguments` are options and the remote command after `--`."""
        options = list(arguments[: arguments.index("--")]) if "--" in arguments else []
        remote = arguments[len(options) + 1 :] if "--" in arguments else arguments
        known = ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
        common = ["-F", "none", "-i", str(self.key), "-oIdentitiesOnly=yes", "-oLogLevel=ERROR"]
        return ["ssh", *common, *known, "-p", str(self.port), *options, "127.0.0.1", *remote]

    def close(self) -> None:
        """End it and wait for that."""
        self._process.terminate()
        self._process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def sshd(folder: Path, *settings: str, under: Sequence[str] = ()) -> Generator[Sshd]:
    """One sshd for the length of a block."""
    started = Sshd(folder, *settings, under=under)
    try:
        yield started
    finally:
        started.close()


def curl_links(user: str, port: int, key: Path, file: Path, link: Path) -> list[str]:
    """curl with libssh2, which makes a symbolic link to a file and then gets the file."""
    return [
        "curl", "-sS", "-k", "-u", f"{user}:", "--key", str(key), "--pubkey", f"{key}.pub",
        "-Q", f"ln {file} {link}", "-o", f"{link}.got", f"sftp://127.0.0.1:{port}{file}",
    ]  # fmt: skip
