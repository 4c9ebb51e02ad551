"""What our SSH servers are called, and which algorithms they offer on this machine to this client.

Shared by host and relay. The client's first choice wins, and OpenSSH's are not the fastest here:
ChaCha20, and before version 10 AES-CTR ahead of AES-GCM. So each is left out where AES-GCM can be
had and is computed by the CPU, unless the client names nothing else of ours: its offer is waited
for.
"""

import platform
import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from asyncssh.kex import get_kex_algs
from asyncssh.packet import SSHPacket
from cryptography.utils import CryptographyDeprecationWarning

from uptui import __version__

_NUMBERS: Final = ".".join(part.zfill(2) for part in __version__.split("."))
SERVER_NAME: Final = f"OpenSSH_uptui_{_NUMBERS}"
"""Software in our servers' version line (RFC 4253, 4.2). Clients know what a server understands by
this name: only to one that begins with OpenSSH does OpenSSH's say that nobody reads a command's
output any more (OpenSSH PROTOCOL, 2.1), and from others it receives the rest, without end where
there is none. No version of OpenSSH's is
told, as its faults are not ours. npm's ssh2 wants two digits in a row (its strictVendor)."""
OFFER_WAIT: Final = 1.0
"""Seconds that a server's offer of algorithms waits for OpenSSH's, which comes unasked."""
SHORT_WAIT: Final = 0.2
"""The same for other clients, a few of which wait for the server's offer themselves."""
MACS: Final = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
SIGNATURES: Final = (
    "ssh-ed25519",
    "ssh-ed448",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp256",
    "rsa-sha2-256",
    "rsa-sha2-512",
)
"""Made with our host keys; no SHA-1."""
CLIENT_SIGNATURES: Final = (
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    *SIGNATURES,
)
"""Accepted from clients and announced as server-sig-algs."""

_CPU_INFO: Final = Path("/proc/cpuinfo")
_KEX: Final = (
    "curve25519-sha256",  # first: Dropbear's guess must be right
    "curve25519-sha256@libssh.org",
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group14-sha256",  # larger ones cost 50 ms, and whoever asks nothing
)
_GCM: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_CTR: Final = ("aes128-ctr", "aes192-ctr", "aes256-ctr")
_CHACHA: Final = ("chacha20-poly1305@openssh.com",)
_OPENSSH: Final = re.compile(rb"SSH-2\.0-OpenSSH_[0-9f]")
_COOKIE: Final = 16


@cache
def has_aes() -> bool:
    """Whether the CPU computes AES itself, which makes it faster than ChaCha20."""
    try:
        words = _CPU_INFO.read_text(errors="replace").split()
    except OSError:
        return platform.machine().lower() in {"x86_64", "amd64", "arm64", "aarch64"}
    return "aes" in words


def ciphers(aes: bool) -> tuple[str, ...]:
    """Ciphers to offer, no CBC among them."""
    return _GCM + _CTR if aes else _CHACHA + _GCM + _CTR


def key_exchanges() -> list[str]:
    """Key exchanges to offer, of those that this machine's libraries can do."""
    known = set(get_kex_algs())
    return [name for name in _KEX if name.encode() in known]


def algorithms() -> dict[str, Any]:
    """What we offer at either end of a connection, as options of asyncssh.

    That libraries will drop Diffie-Hellman over finite fields is ours to know, not a line for
    whoever runs a share when an old client asks for group 14.
    """
    warnings.filterwarnings(
        "ignore",
        message="Diffie-Hellman over finite fields",
        category=CryptographyDeprecationWarning,
        module=r"asyncssh\.crypto\.dh",
    )
    return {
        "kex_algs": key_exchanges(),
        "encryption_algs": list(ciphers(has_aes())),
        "mac_algs": list(MACS),
        "compression_algs": ["none"],
    }


def wait_for(client_version: bytes) -> float:
    """Seconds to wait for this client's offer before ours is made."""
    return OFFER_WAIT if _OPENSSH.match(client_version) is not None else SHORT_WAIT


def fitted(ours: Sequence[bytes], kexinit: bytes) -> Sequence[bytes]:
    """Our ciphers for a client's KEXINIT (RFC 4253, 7.1; without its first byte): the best kind
    that it names both ways, and ChaCha20 where nothing else fits."""
    if not has_aes():
        return ours
    theirs = SSHPacket(kexinit)
    theirs.get_bytes(_COOKIE)
    _kex, _host_keys, up, down = (set(theirs.get_namelist()) for _ in range(4))
    for kind in (_GCM, _CTR):
        names = {name.encode() for name in kind}
        if up & down & names:
            return [name for name in ours if name in names]
    return [*ours, *(name.encode() for name in _CHACHA)]
