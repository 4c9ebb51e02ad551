"""Public keys as text: parsing authorized_keys lines and fingerprints; reads no file.

The format is that of sshd(8), AUTHORIZED_KEYS FILE FORMAT, with its options as far as `keyoptions`
knows them and two of our own: `uptui-role="pair"` and `uptui-name="Alice"`.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from uptui.core.keyoptions import UNLIMITED, KeyLimits, KeyOptionError, limits_of
from uptui.protocol.names import Fingerprint
from uptui.text import clean_name

MAX_LINE_LENGTH: Final = 16 * 1024
MAX_KEYS: Final = 10_000
"""Keys taken from one source."""

KEY_TYPES: Final = frozenset({
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-ed448",
})  # fmt: skip
_OPTION = re.compile(r'(?P<name>[A-Za-z0-9-]+)(?:="(?P<value>(?:[^"\\]|\\.)*)")?(?P<end>,|\s+|$)')


@dataclass(frozen=True)
class PublicKey:
    """A public key in OpenSSH format without its comment."""

    text: str
    fingerprint: Fingerprint
    comment: str = ""

    @property
    def kind(self) -> str:
        """Its algorithm: "ssh-ed25519"."""
        return self.text.partition(" ")[0]


@dataclass(frozen=True)
class AuthorizedKey:
    """A key that a file or a service lists."""

    key: PublicKey
    name: str
    role: str
    """Empty: the default role."""
    source: str
    """Where it is listed, in words: "authorized_keys", "github:user", ..."""
    limits: KeyLimits = UNLIMITED


class KeyFormatError(ValueError):
    """A line that is not a usable key; the text says why."""


def fingerprint_of(blob: bytes) -> Fingerprint:
    """The `SHA256:...` fingerprint that ssh-keygen -l shows."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return Fingerprint(f"SHA256:{digest}")


def parse_public_key(text: str) -> PublicKey:
    """Parse `type base64 [comment]`. Raises KeyFormatError."""
    parts = text.split(None, 2)
    if len(parts) < 2:
        raise KeyFormatError("expected 'type base64 [comment]'")
    kind, encoded = parts[0], parts[1]
    if kind not in KEY_TYPES:
        raise KeyFormatError(f"unsupported key type {clean_name(kind)!r}")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyFormatError("the key is not valid base64") from error
    prefix = len(kind).to_bytes(4, "big") + kind.encode()
    if not blob.startswith(prefix) or len(blob) <= len(prefix):
        raise KeyFormatError(f"the key's data is not that of a {kind} key")
    comment = clean_name(parts[2]) if len(parts) == 3 else ""
    canonical = f"{kind} {base64.b64encode(blob).decode()}"
    return PublicKey(canonical, fingerprint_of(blob), comment)


def _options(text: str) -> tuple[list[tuple[str, str]], str]:
    """Split leading options from the key that follows them."""
    options: list[tuple[str, str]] = []
    position = 0
    while True:
        match = _OPTION.match(text, position)
        if match is None:
            raise KeyFormatError("malformed options before the key")
        value = re.sub(r"\\(.)", r"\1", match["value"] or "")
        options.append((match["name"].lower(), value))
        position = match.end()
        if match["end"] != ",":
            return options, text[position:]


def parse_authorized_line(line: str, source: str) -> AuthorizedKey | None:
    """Parse one line of an authorized_keys file; None for comments and empty lines.

    Raises KeyFormatError, also for options that would restrict the key in sshd and that we do not
    know how to honour: such a key is not let in at all.
    """
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    if len(line) > MAX_LINE_LENGTH:
        raise KeyFormatError(f"longer than {MAX_LINE_LENGTH} characters")
    options: list[tuple[str, str]] = []
    if line.split(None, 1)[0] not in KEY_TYPES:
        if line.split(None, 1)[0].endswith("-cert-v01@openssh.com"):
            raise KeyFormatError("certificates are not supported")
        options, line = _options(line)
    ours = {name: value for name, value in options if name.startswith("uptui-")}
    role, name = ours.pop("uptui-role", ""), ours.pop("uptui-name", "")
    try:
        unknown = [(option, value) for option, value in options if option in ours]
        theirs = [pair for pair in options if not pair[0].startswith("uptui-")]
        limits = limits_of([*unknown, *theirs])
    except KeyOptionError as error:
        raise KeyFormatError(str(error)) from error
    key = parse_public_key(line)
    return AuthorizedKey(key, clean_name(name) or key.comment, role, source, limits)


def parse_authorized_keys(
    text: str, where: str, source: str
) -> tuple[list[AuthorizedKey], list[str]]:
    """All keys of a file, and one `where:line: problem` for each line that is none."""
    keys: list[AuthorizedKey] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(keys) >= MAX_KEYS:
            problems.append(f"{where}:{number}: only the first {MAX_KEYS} keys are used")
            break
        try:
            key = parse_authorized_line(line, source)
        except KeyFormatError as error:
            problems.append(f"{where}:{number}: {error}")
            continue
        if key is not None:
            keys.append(key)
    return keys, problems
