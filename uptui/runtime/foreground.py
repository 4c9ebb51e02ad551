"""Gives this process's terminal to another program for a while."""

import signal
import subprocess
from collections.abc import Sequence


def run_here(command: Sequence[str]) -> None:
    """Run a program in our terminal until it ends.

    Should we be told to end meanwhile, it is hung up on first and waited for: it knows what it
    has made of the terminal.
    """
    with subprocess.Popen(command) as program:
        try:
            program.wait()
        except BaseException:
            program.send_signal(signal.SIGHUP)
            raise
