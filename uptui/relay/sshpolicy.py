"""Algorithms and timings of the relay's SSH connections, both as server and towards hosts."""

from typing import Any, Final

import asyncssh

from uptui import __version__
from uptui.sshoffer import CLIENT_SIGNATURES, MACS, ciphers, has_aes, key_exchanges

VERSION: Final = f"uptui_{__version__}"
WINDOW: Final = 4 * 1024 * 1024
MAX_PACKET: Final = 64 * 1024
REKEY_BYTES: Final = 4 << 30


def accept_options(key: asyncssh.SSHKey, login_timeout: float) -> dict[str, Any]:
    """For asyncssh.listen. No keepalives of our own: on the plain way their replies would have to
    be told from the host's, and TCP's notice a dead peer as well."""
    return {
        "server_host_keys": [key],
        "server_version": VERSION,
        "login_timeout": login_timeout,
        "kex_algs": key_exchanges(),
        "encryption_algs": list(ciphers(has_aes())),
        "mac_algs": list(MACS),
        "compression_algs": ["none"],
        "signature_algs": list(CLIENT_SIGNATURES),
        "rekey_bytes": REKEY_BYTES,
        "host_based_auth": False,
        "gss_host": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "allow_pty": False,
        "encoding": None,
        "window": WINDOW,
        "max_pktsize": MAX_PACKET,
        "config": None,
    }


def connect_options(
    user: str, host_keys: list[asyncssh.SSHKey], login_timeout: float
) -> dict[str, Any]:
    """For asyncssh.connect to a host, which takes our word for the client's key."""
    return {
        "username": user,
        "known_hosts": (host_keys, [], []),
        "client_version": VERSION,
        "client_keys": None,
        "agent_path": None,
        "password_auth": False,
        "kbdint_auth": False,
        "public_key_auth": False,
        "host_based_auth": False,
        "gss_host": None,
        "login_timeout": login_timeout,
        "connect_timeout": login_timeout,
        "kex_algs": key_exchanges(),
        "encryption_algs": list(ciphers(has_aes())),
        "mac_algs": list(MACS),
        "compression_algs": ["none"],
        "rekey_bytes": REKEY_BYTES,
        "config": None,
    }
