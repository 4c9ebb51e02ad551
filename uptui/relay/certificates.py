"""The TLS context from certificate files, made anew when they change on disk."""

import ssl
import time
from typing import Final

from uptui.errors import ConfigError
from uptui.relay import logs
from uptui.relay.settings import Tls

CHECK_INTERVAL: Final = 10.0
"""Seconds between looks at the files."""

log = logs.logger("uptui.relay.certificates")


class TlsFiles:
    """Certificate and key; a renewal that cannot be read leaves the old ones in use."""

    def __init__(self, files: Tls) -> None:
        """Raises ConfigError naming the file that cannot be used."""
        self._files = files
        self._context = _load(files)
        self._stamp = self._stamps()
        self._checked_at = time.monotonic()

    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_INTERVAL:
            self._checked_at = now
            self._renew()
        return self._context

    def reload(self) -> None:
        """Look at the files now."""
        self._stamp = (0.0, 0.0)
        self._renew()

    def _renew(self) -> None:
        stamp = self._stamps()
        if stamp == self._stamp:
            return
        try:
            self._context = _load(self._files)
        except ConfigError as error:
            log.warning("certificate_not_renewed", problem=str(error))
        self._stamp = stamp

    def _stamps(self) -> tuple[float, float]:
        try:
            files = self._files
            return files.certificate.stat().st_mtime, files.key.stat().st_mtime
        except OSError:
            return 0.0, 0.0


def _load(files: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path, setting in ((files.certificate, "--tls-cert"), (files.key, "--tls-key")):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(setting, f"cannot read {path}: {error.strerror}") from error
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (ssl.SSLError, OSError) as error:
        problem = f"{files.certificate} and {files.key} are no certificate and its key: {error}"
        raise ConfigError("--tls-cert", problem) from error
    return context
