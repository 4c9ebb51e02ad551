"""Public keys as the relay takes them: read with limits, in one canonical spelling."""

from pathlib import Path
from typing import Final

import asyncssh

from uptui.errors import ConfigError, ProtocolError, StateError
from uptui.protocol import sshsig
from uptui.protocol.names import Fingerprint

MAX_KEY_LENGTH: Final = 4096
"""Characters of a public key; RSA-16384 needs about 2,800."""
MAX_KEYS_FILE: Final = 4 * 1024 * 1024

_ALGORITHMS = {
    "ssh-ed25519": {"ssh-ed25519"},
    "ecdsa-sha2-nistp256": {"ecdsa-sha2-nistp256"},
    "ecdsa-sha2-nistp384": {"ecdsa-sha2-nistp384"},
    "ecdsa-sha2-nistp521": {"ecdsa-sha2-nistp521"},
    "ssh-rsa": {"rsa-sha2-256", "rsa-sha2-512"},
}
"""Key type -> signature algorithms taken from it; SHA-1 is not among them."""


class AcceptedKey:
    """A public key that an identity or a host may have."""

    def __init__(self, text: str) -> None:
        """Read an OpenSSH public key. Raises ProtocolError saying what is wrong."""
        if len(text) > MAX_KEY_LENGTH:
            raise ProtocolError(f"public key: longer than {MAX_KEY_LENGTH} characters")
        try:
            self._key = asyncssh.import_public_key(text)
        except (asyncssh.KeyImportError, ValueError) as error:
            raise ProtocolError("public key: not in OpenSSH format ('ssh-ed25519 AAAA...')") from (
                error
            )
        self.algorithm = self._key.get_algorithm()
        if self.algorithm not in _ALGORITHMS:
            raise ProtocolError(f"public key: type {self.algorithm!r} is not supported")
        self._key.set_comment(None)
        self.text = self._key.export_public_key("openssh").decode().strip()
        self.fingerprint = Fingerprint(self._key.get_fingerprint())

    def signed(self, signature: str, namespace: str, message: bytes) -> bool:
        """Whether `signature` (armored SSHSIG) is this key's over `message` in `namespace`.

        Raises ProtocolError when it is no SSHSIG at all.
        """
        parsed = sshsig.parse(signature)
        if parsed.namespace != namespace or parsed.public_key != self._key.public_data:
            return False
        if sshsig.algorithm(parsed) not in _ALGORITHMS[self.algorithm]:
            return False
        covered = sshsig.signed_bytes(namespace, message, parsed.hash_name)
        return self._key.verify(covered, parsed.signature)


def canonical(text: str) -> str:
    """One spelling per key: algorithm and base64, no comment. Raises ProtocolError."""
    return AcceptedKey(text).text


def fingerprint_of(text: str) -> Fingerprint:
    """`SHA256:...` of an OpenSSH public key. Raises ProtocolError."""
    return AcceptedKey(text).fingerprint


class KeysFile:
    """An authorized_keys file that says which identities may host; read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read it now. Raises ConfigError when it is not usable."""
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._fingerprints: frozenset[str] = frozenset()
        try:
            self._reload()
        except StateError as error:
            raise ConfigError("--hosting-keys", str(error)) from error

    def allows(self, fingerprint: str) -> bool:
        """Whether the key is listed. Raises StateError when the file has become unreadable."""
        self._reload()
        return fingerprint in self._fingerprints

    def _reload(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            if status.st_size > MAX_KEYS_FILE:
                raise StateError(self._path, f"larger than {MAX_KEYS_FILE} bytes")
            text = self._path.read_text("utf-8", "replace")
        except OSError as error:
            raise StateError(self._path, f"cannot be read: {error.strerror}") from error
        self._fingerprints = frozenset(_listed(self._path, text))
        self._stamp = stamp


def _listed(path: Path, text: str) -> list[str]:
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        start = min(
            (at for at in (stripped.find(f"{a} ") for a in _ALGORITHMS) if at >= 0), default=0
        )
        try:
            found.append(fingerprint_of(stripped[start:]))
        except ProtocolError as error:
            raise StateError(path, f"line {number}: {error}") from error
    return found
