"""Whether it is our own daemon that answers on a socket, before anything is said to it."""

import os
from pathlib import Path
from typing import Any

from uptui.errors import StateError
from uptui.net import peer_credentials
from uptui.runtime.private_files import check_safe


def check_daemon(path: Path, sock: Any) -> None:
    """Raise StateError when another user listens there, or could at any time."""
    check_safe(path)
    found = peer_credentials.peer(sock)
    if found is not None and found.uid not in {0, os.getuid()}:
        problem = f"user {found.uid} answers there, not us: nothing was said to it"
        raise StateError(path, f"{problem}; UPTUI_RUNTIME_DIR names another place for the socket")
