"""The relay's own SSH host key: made once, kept in the state directory, readable by nobody else."""

import stat
from pathlib import Path
from typing import Final

import asyncssh

from uptui.errors import StateError
from uptui.runtime.private_files import write_private

FILE: Final = "ssh_host_ed25519_key"


def load_host_key(state_dir: Path) -> asyncssh.SSHKey:
    """The key, made on the first start. Raises StateError naming the file."""
    path = state_dir / FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return _create(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StateError(
            path, f"cannot keep the relay's host key here: {error.strerror}"
        ) from error
    try:
        return asyncssh.import_private_key(data)
    except (asyncssh.KeyImportError, ValueError) as error:
        problem = "not an SSH private key; move it away to have a new one made"
        raise StateError(path, problem) from error


def _create(path: Path) -> asyncssh.SSHKey:
    key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    write_private(path, key.export_private_key())
    return key


def public_line(key: asyncssh.SSHKey) -> str:
    """The public half in OpenSSH format, without comment."""
    return " ".join(key.export_public_key().decode().split()[:2])
