"""The TLS context from certificate files, made anew when they change on disk."""

import hashlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from uptui.errors import ConfigError
from uptui.relay import logs
from uptui.relay.settings import Tls

CHECK_INTERVAL: Final = 10.0
"""Seconds between looks at the files."""
OLD_TIME: Final = 120.0
"""Seconds after a renewal that logins may name the certificate before it: their connection may have
been made, and their challenge asked for, just before."""
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 has nothing else."""
EXPIRES_SOON: Final = 14 * 86400.0
"""Seconds before its end at which a certificate that nobody renewed is worth a warning."""
WARN_INTERVAL: Final = 86400.0
_END: Final = "-----END CERTIFICATE-----"

log = logs.logger("uptui.relay.ingress.certificates")


@dataclass(frozen=True)
class Leaf:
    """The certificate that clients see."""

    sha256: bytes
    names: frozenset[str]
    """What it is made out to: DNS names (perhaps with `*.`) and IP addresses, as they stand."""
    ends: float | None = None
    """Unix seconds; None where it does not say."""


class TlsFiles:
    """Certificate and key; a renewal that cannot be read leaves the old ones in use."""

    def __init__(
        self,
        files: Tls,
        clock: Callable[[], float] = time.monotonic,
        calendar: Callable[[], float] = time.time,
    ) -> None:
        """`calendar` gives Unix seconds. Raises ConfigError naming the file that cannot be used."""
        self._files = files
        self._clock = clock
        self._calendar = calendar
        self._stamp = self._stamps()
        self._context, self._leaf = _load(files)
        self._old: tuple[Leaf, float] | None = None
        self._checked_at = clock()
        self._warned_at: float | None = None
        self._watch_end()

    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        now = self._clock()
        if now - self._checked_at >= CHECK_INTERVAL:
            self._checked_at = now
            self._renew()
            self._watch_end()
        return self._context

    def leaves(self) -> list[Leaf]:
        """What open connections may show: the certificate, and for a while the one before it."""
        recent = self._old is not None and self._clock() < self._old[1] + OLD_TIME
        return [self._leaf, self._old[0]] if recent and self._old else [self._leaf]

    def reload(self) -> None:
        """Look at the files now."""
        self._stamp = (0.0, 0.0)
        self._renew()

    def _renew(self) -> None:
        stamp = self._stamps()
        if stamp == self._stamp:
            return
        try:
            self._context, leaf = _load(self._files)
        except ConfigError as error:
            log.warning("certificate_not_renewed", problem=str(error))
        else:
            if leaf != self._leaf:
                self._old, self._leaf = (self._leaf, self._clock()), leaf
        self._stamp = stamp

    def _watch_end(self) -> None:
        """Say once a day that the certificate ends soon, or has ended."""
        ends, now = self._leaf.ends, self._clock()
        if ends is None or ends - self._calendar() > EXPIRES_SOON:
            return
        if self._warned_at is None or now - self._warned_at >= WARN_INTERVAL:
            self._warned_at = now
            date = datetime.fromtimestamp(ends, UTC).isoformat(timespec="seconds")
            file = str(self._files.certificate)
            log.warning("certificate_expires", file=file, at=date, advice=self._advice())

    def _advice(self) -> str:
        if self._files.sha256 is None:
            return "renew it: a new file is taken up without a restart"
        return (
            "hosts that were given its #sha256 do not go by the date; for others remove it and "
            "start again, and pass the new join URL on"
        )

    def _stamps(self) -> tuple[float, float]:
        try:
            files = self._files
            return files.certificate.stat().st_mtime, files.key.stat().st_mtime
        except OSError:
            return 0.0, 0.0


def _load(files: Tls) -> tuple[ssl.SSLContext, Leaf]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    for path, setting in ((files.certificate, "--tls-cert"), (files.key, "--tls-key")):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(setting, f"cannot read {path}: {error.strerror}") from error
    try:
        context.load_cert_chain(files.certificate, files.key)
        return context, _leaf(files.certificate.read_text("ascii", "replace"))
    except (ssl.SSLError, OSError, ValueError) as error:
        problem = f"{files.certificate} and {files.key} are no certificate and its key: {error}"
        raise ConfigError("--tls-cert", problem) from error


def _leaf(chain: str) -> Leaf:
    """The first certificate of a chain (PEM). Raises ValueError."""
    start = chain.index(_END.replace("END", "BEGIN"))
    der = ssl.PEM_cert_to_DER_cert(chain[start : chain.index(_END, start) + len(_END)])
    ends = None
    try:
        certificate = x509.load_der_x509_certificate(der)
        ends = certificate.not_valid_after_utc.timestamp()
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *found.get_values_for_type(x509.DNSName),
            *map(str, found.get_values_for_type(x509.IPAddress)),
        ]
    except (ValueError, x509.ExtensionNotFound):  # OpenSSL takes it: it has no names to go by
        names = []
    return Leaf(hashlib.sha256(der).digest(), frozenset(names), ends)
