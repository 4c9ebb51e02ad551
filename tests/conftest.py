"""What every test runs in: shells that read no startup files of the developer at the keyboard."""

import ctypes
import os
from pathlib import Path
from typing import Final

STARTUP_FILES: Final = (".bashrc", ".bash_profile", ".bash_login", ".profile", ".zshrc", ".zshenv")
CLONE_NEWNS: Final = 0x20000
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18


def pytest_configure() -> None:
    """Hide the startup files of the user's shells, in a mount namespace of the tests' own.

    The tests kick, kill and time out hundreds of shells, ours and sshd's, and compare what they
    say. What a person's `.bashrc` starts there is not made for it: `pyenv init`, killed half way,
    leaves a lock for which each later shell waits a minute. Only root may mount; others run as
    they are. The test processes are started after this and live in the same namespace.
    """
    if os.geteuid() != 0 or "PYTEST_XDIST_WORKER" in os.environ:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        return  # a container without CAP_SYS_ADMIN
    for path in (Path.home() / name for name in STARTUP_FILES):
        if path.is_file():
            libc.mount(b"/dev/null", os.fsencode(path), None, MS_BIND, None)
