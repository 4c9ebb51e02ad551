"""The identity key: the SSH host key and the proof of who owns an alias; made once, then kept.

Also the further host keys that were configured, which prove nothing but that this is the host.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncssh

from uptui.config.keytext import private_key, showable
from uptui.errors import ConfigError, StateError
from uptui.runtime.private_files import write_private

MAX_KEY_BYTES: Final = 64 * 1024
_COMMENT: Final = "uptui identity"


def load_identity(given: str | None, where: str, file: Path) -> asyncssh.SSHKey:
    """The key that was configured (`given`: a path or the key itself), else the one in `file`.

    Without either a new ed25519 key is written to `file`. `where` names the setting in errors.
    Raises ConfigError for a bad configured key, StateError for a bad file.
    """
    if given is not None:
        return _configured(given, where)
    if not file.exists():
        key = asyncssh.generate_private_key(  # pyright: ignore[reportUnknownMemberType]
            "ssh-ed25519", comment=_COMMENT
        )
        write_private(file, key.export_private_key("openssh"))
    try:
        return _imported(_read(file))
    except OSError as error:
        raise StateError(file, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        advice = "restore it from a backup, or move it away to get another identity"
        raise StateError(file, f"{error}; {advice}") from error


def load_host_keys(paths: Sequence[str], where: str) -> list[asyncssh.SSHKey]:
    """The keys in these files. Raises ConfigError naming the setting, `where`, and the file."""
    return [_configured(path, where) for path in paths]


def _configured(given: str, where: str) -> asyncssh.SSHKey:
    key = private_key(given)
    if key is not None:
        try:
            return _imported(key.encode())
        except ValueError as error:
            raise ConfigError(where, f"the key given as text: {error}") from None
    try:
        return _imported(_read(Path(given)))
    except OSError as error:
        raise ConfigError(where, f"{showable(given)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(where, f"{showable(given)}: {error}") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_KEY_BYTES + 1)


def _imported(data: bytes) -> asyncssh.SSHKey:
    """Raises ValueError saying what is wrong, never with any of the key's text."""
    if len(data) > MAX_KEY_BYTES:
        raise ValueError(f"larger than {MAX_KEY_BYTES} bytes: not a private key")
    try:
        return asyncssh.import_private_key(data)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        if "passphrase" in str(error).lower():
            raise ValueError("protected by a passphrase: uptui needs a key without one") from None
        raise ValueError("not a private key in OpenSSH format") from None


def public_line(key: asyncssh.SSHKey) -> str:
    """The public key in OpenSSH format without a comment."""
    kind, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{kind} {data}"
