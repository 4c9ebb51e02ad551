"""The host keys that host and relay show to clients."""

from collections.abc import Sequence

import asyncssh
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_INFO = b"uptui ecdsa-sha2-nistp256 host key v1"
_EXTRA_BYTES = 16
"""More than the order's 32: the remainder is then uniform (FIPS 186-5, A.2.1)."""


def shown(keys: Sequence[asyncssh.SSHKey]) -> list[asyncssh.SSHKey]:
    """The keys to serve with: the identity, which is the first of `keys`, an ECDSA key made from it
    for clients that know no ed25519 or may not use it (FIPS 140-3), and the others.

    The same identity gives the same keys wherever it is used, so known_hosts never complains.
    """
    identity, *others = keys
    return [identity, _ecdsa(identity), *others]


def _ecdsa(identity: asyncssh.SSHKey) -> asyncssh.SSHKey:
    secret = identity.export_private_key("pkcs8-der")
    curve = ec.SECP256R1()
    size = curve.key_size // 8 + _EXTRA_BYTES
    derived = HKDF(algorithm=SHA256(), length=size, salt=None, info=_INFO).derive(secret)
    number = int.from_bytes(derived, "big") % (curve.group_order - 1) + 1
    return asyncssh.import_private_key(
        ec.derive_private_key(number, curve).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
