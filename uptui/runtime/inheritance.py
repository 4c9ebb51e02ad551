"""What a process of ours takes over from whoever started it: decided here, once, for all of it.

docs/architecture.md has the table. The environment of sessions is host.sshd.sessions.environment's.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

_COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
"""What Python sets LC_CTYPE to where the locale is C (PEP 538)."""
_PATHS: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables with paths that are read later, from another directory perhaps."""
_STANDARD: Final = (0, 1, 2)
OURSELVES: Final = (sys.executable, "-P", "-m", "uptui")
"""How we start ourselves; -P takes no module from the current directory."""


def settle() -> None:
    """At the start of every command.

    Children end where we can see it, although the parent ignored SIGCHLD; no signal is held back;
    what is opened does not become a standard stream that was closed; and Python's own idea of the
    locale is nobody else's.
    """
    _open_standard()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if _coerced():
        del os.environ["LC_CTYPE"]


def leave_directory() -> None:
    """Stand in `/`, for what runs long: it keeps no mount and no directory busy."""
    for name in _PATHS:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).absolute())
    os.chdir("/")


def _open_standard() -> None:
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # becomes the lowest that is free, which is this one
            os.set_inheritable(number, True)
    with contextlib.suppress(OSError):
        sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
        sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
        sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _coerced() -> bool:
    """Whether LC_CTYPE was set by the interpreter and not by who started it."""
    if os.environ.get("LC_CTYPE") not in _COERCED:
        return False
    try:
        given = Path("/proc/self/environ").read_bytes()
    except OSError:
        return not any(os.environ.get(name) for name in ("LC_ALL", "LANG"))
    return not any(part.startswith(b"LC_CTYPE=") for part in given.split(b"\0"))
