"""A TLS context that believes the certificate authorities of this machine."""

import os
import ssl
from pathlib import Path
from typing import Final

from uptui.errors import ConfigError

FILE_VARIABLE: Final = "SSL_CERT_FILE"
DIRECTORY_VARIABLE: Final = "SSL_CERT_DIR"
KEYS_VARIABLE: Final = "SSLKEYLOGFILE"
"""OpenSSL's and Python's own names."""


def authorities() -> ssl.SSLContext:
    """Those that SSL_CERT_FILE and SSL_CERT_DIR name, else the system's; where it has none (a bare
    container), Mozilla's as they came with us.

    Takes tens of milliseconds. Raises ConfigError naming the variable that is of no use, and why.
    """
    usual = ssl.get_default_verify_paths()
    file, directory = os.environ.get(FILE_VARIABLE), os.environ.get(DIRECTORY_VARIABLE)
    if directory and not any(Path(one).is_dir() for one in directory.split(os.pathsep)):
        raise _useless(DIRECTORY_VARIABLE, directory, "no such directory")
    cafile = file or _there(usual.openssl_cafile)
    capath = directory or _there(usual.openssl_capath)
    if cafile is None and capath is None:
        import certifi

        cafile = certifi.where()
    try:
        return ssl.create_default_context(cafile=cafile, capath=capath)
    except ssl.SSLError as error:
        raise _useless(FILE_VARIABLE, file or str(cafile), "no certificates in PEM form") from error
    except OSError as error:
        why = error.strerror or str(error)
        if error.filename is not None:  # Python names only the file that it opens itself
            raise _useless(KEYS_VARIABLE, os.environ.get(KEYS_VARIABLE, ""), why) from error
        raise _useless(FILE_VARIABLE, file or str(cafile), why) from error


def _there(path: str) -> str | None:
    return path if Path(path).exists() else None


def _useless(variable: str, path: str, why: str) -> ConfigError:
    advice = "unset it, or name one that is there and can be read"
    return ConfigError(variable, f"{path}: {why}, so no TLS connection can be made; {advice}")
