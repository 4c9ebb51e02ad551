"""Puts this terminal onto one of the host's, with or without an event loop running already."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from uptui.cli.output import say
from uptui.client.attach import attach
from uptui.protocol.terminal import TerminalEnded


def take_over(socket: Path, terminal: str, *, watch: bool = False) -> int:
    """Until the terminal ends or ^] is pressed; returns the program's exit code, or 0.

    Blocks its caller also inside an event loop, as the suspended TUI wants.
    """

    def sit() -> TerminalEnded:
        return asyncio.run(attach(socket, terminal=terminal, watch=watch))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        end = sit()
    else:
        with ThreadPoolExecutor(1) as thread:
            end = thread.submit(sit).result()
    if end.message:
        say(end.message)
    return end.code or 0
