"""A certificate that the relay makes for itself, so that a machine without a domain is safe too.

Its sha256 is part of the join URL (`https://1.2.3.4:8443#sha256=...`): hosts trust exactly this
certificate, so names and dates in it do not matter to them. Other programs (`curl --cacert`) go by
both. It vouches for this relay alone: its key can sign no other certificate.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from uptui.errors import StateError
from uptui.runtime.private_files import private_directory, write_private

CERTIFICATE_FILE: Final = "tls-certificate.pem"
KEY_FILE: Final = "tls-key.pem"
LIFETIME: Final = timedelta(days=825)
"""What Apple's clients take at most, of authorities that people add themselves, too."""

_SIGNATURES_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class SelfMade:
    """Files of a self-made certificate, ready for settings.Tls."""

    certificate: Path
    key: Path
    sha256: str
    """Hex digest of the certificate in DER form, as it stands in a join URL."""


def self_made(state_dir: Path, public_host: str) -> SelfMade:
    """The certificate kept in `state_dir`, made now if there is none.

    An existing one is kept whatever its names, because its fingerprint is in people's join URLs.
    Raises StateError for files that cannot be read or written.
    """
    certificate, key = state_dir / CERTIFICATE_FILE, state_dir / KEY_FILE
    if not (certificate.exists() and key.exists()):
        _make(certificate, key, public_host)
    return SelfMade(certificate, key, sha256_of(certificate))


def sha256_of(path: Path) -> str:
    """The pin of the certificate in a PEM file. Raises StateError."""
    try:
        loaded = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StateError(path, f"cannot be read as a certificate: {error}") from error
    return hashlib.sha256(loaded.public_bytes(serialization.Encoding.DER)).hexdigest()


def _make(certificate: Path, key: Path, public_host: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "uptui relay")])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(public_host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNATURES_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(private, hashes.SHA256())
    )
    _write(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(certificate, signed.public_bytes(serialization.Encoding.PEM))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode() if host else "localhost")


def _write(path: Path, content: bytes) -> None:
    private_directory(path.parent)
    write_private(path, content)
