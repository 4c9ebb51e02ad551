"""Waits for a daemon that was told to stop."""

import time
from typing import Final

from uptui.errors import UptuiError
from uptui.host.storage.lock import holder
from uptui.paths import Places

PATIENCE: Final = 20.0
"""Seconds that sessions, terminals and the log may need to end."""
POLL: Final = 0.05


def wait_until_gone(places: Places) -> None:
    """Until the state directory's lock is free. Raises UptuiError when it stays taken."""
    deadline = time.monotonic() + PATIENCE
    while (pid := holder(places.lock_file)) is not None:
        if time.monotonic() > deadline:
            raise UptuiError(f"the daemon (pid {pid}) was told to stop and has not ended yet")
        time.sleep(POLL)
