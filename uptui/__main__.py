"""`python -m uptui`, and the console script."""

import os
import signal
import sys
from typing import Final

from uptui.runtime import inheritance
from uptui.runtime.terminal_watch import SIGNALLED

FIRST_PROCESS: Final = 1


def _end(number: int, _frame: object) -> None:
    sys.exit(SIGNALLED + number)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if os.getpid() == FIRST_PROCESS:
        # The kernel drops what the first process of a container does not handle: a container that
        # is stopped while it starts would otherwise wait to be killed.
        signal.signal(signal.SIGTERM, _end)
    inheritance.settle()
    from uptui.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
