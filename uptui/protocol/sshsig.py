"""SSH signatures (OpenSSH PROTOCOL.sshsig): the bytes to sign and the armored form; no keys here.

Signing takes a callable and verifying is left to whoever holds a key library, so that both the
host and the relay use one format, the one of `ssh-keygen -Y sign` and `-Y verify`.
"""

import base64
import binascii
import hashlib
import struct
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, cast

from uptui.errors import ProtocolError

MAGIC: Final = b"SSHSIG"
VERSION: Final = 1
BEGIN: Final = "-----BEGIN SSH SIGNATURE-----"
END: Final = "-----END SSH SIGNATURE-----"
MAX_ARMORED: Final = 16 * 1024
"""Characters of an armored signature; RSA-16384 needs about 6,000."""
LINE_LENGTH: Final = 70

HashName = Literal["sha256", "sha512"]


@dataclass(frozen=True)
class Signature:
    """What an SSHSIG carries; nothing of it is verified yet."""

    public_key: bytes
    """SSH wire format."""
    namespace: str
    hash_name: HashName
    signature: bytes
    """SSH wire format: string algorithm, string blob."""


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def signed_bytes(namespace: str, message: bytes, hash_name: HashName = "sha512") -> bytes:
    """The bytes that a key signs for `message` in `namespace`."""
    digest = hashlib.new(hash_name, message).digest()
    fields = (namespace.encode(), b"", hash_name.encode(), digest)
    return MAGIC + b"".join(map(_string, fields))


def sign(
    namespace: str, message: bytes, public_key: bytes, signer: Callable[[bytes], bytes]
) -> str:
    """The armored SSHSIG of `message`.

    `public_key` is in SSH wire format; `signer` turns the bytes to sign into an SSH wire format
    signature (string algorithm, string blob).
    """
    return armor(
        Signature(public_key, namespace, "sha512", signer(signed_bytes(namespace, message)))
    )


def armor(signature: Signature) -> str:
    """The text form, as `ssh-keygen -Y sign` writes it."""
    fields = (
        signature.public_key,
        signature.namespace.encode(),
        b"",
        signature.hash_name.encode(),
        signature.signature,
    )
    blob = MAGIC + struct.pack(">I", VERSION) + b"".join(map(_string, fields))
    body = textwrap.fill(base64.b64encode(blob).decode(), LINE_LENGTH)
    return f"{BEGIN}\n{body}\n{END}\n"


def parse(text: str) -> Signature:
    """Read an armored SSHSIG. Raises ProtocolError saying what is wrong with it."""
    blob = _dearmored(text)
    if not blob.startswith(MAGIC):
        raise ProtocolError("SSH signature: the magic preamble is missing")
    version, *fields = _fields(blob[len(MAGIC) :])
    if int.from_bytes(version, "big") != VERSION:
        raise ProtocolError("SSH signature: only version 1 is understood")
    public_key, namespace, _reserved, hash_name, signature = fields
    if hash_name not in {b"sha256", b"sha512"}:
        raise ProtocolError("SSH signature: the hash must be sha256 or sha512")
    try:
        name = namespace.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("SSH signature: the namespace is not UTF-8") from error
    return Signature(public_key, name, cast("HashName", hash_name.decode()), signature)


def algorithm(signature: Signature) -> str:
    """The signature algorithm that the signer names. Raises ProtocolError when there is none."""
    name, _rest = _take(signature.signature)
    return name.decode("ascii", "replace")


def _dearmored(text: str) -> bytes:
    if len(text) > MAX_ARMORED:
        raise ProtocolError(f"SSH signature: longer than {MAX_ARMORED} characters")
    stripped = text.strip()
    if not (stripped.startswith(BEGIN) and stripped.endswith(END)):
        raise ProtocolError(f"SSH signature: expected text between {BEGIN!r} and {END!r}")
    body = "".join(stripped[len(BEGIN) : -len(END)].split())
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError("SSH signature: not valid base64 inside") from error


def _fields(data: bytes) -> list[bytes]:
    found = [data[:4]]
    rest = data[4:]
    for _ in range(5):
        value, rest = _take(rest)
        found.append(value)
    if rest:
        raise ProtocolError("SSH signature: bytes left over after the last field")
    return found


def _take(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:4], "big")
    if len(data) < 4 or len(data) - 4 < length:
        raise ProtocolError("SSH signature: cut off")
    return data[4 : 4 + length], data[4 + length :]
