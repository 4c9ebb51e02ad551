"""How text leaves the terminal: through tmux where there is one, else OSC 52, or into a file."""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

from textual.app import App

TMUX_SECONDS: Final = 3.0
"""How long tmux may take to accept a buffer."""


async def send(app: App[Any], text: str) -> None:
    """Offer `text` to the clipboard; nobody can know whether the terminal took it."""
    if os.environ.get("TMUX") and await _through_tmux(text):
        return
    app.copy_to_clipboard(text)


async def _through_tmux(text: str) -> bool:
    """tmux drops bare OSC 52, but forwards what `load-buffer -w` gives it."""
    try:
        tmux = await asyncio.create_subprocess_exec(
            "tmux", "load-buffer", "-w", "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return False
    try:
        await asyncio.wait_for(tmux.communicate(text.encode()), TMUX_SECONDS)
    except TimeoutError:
        tmux.kill()
        await tmux.wait()
        return False
    return tmux.returncode == 0


def write(path: Path, text: str) -> Path:
    """Write `text` to a file that only its owner reads; never over an existing one."""
    path = path.expanduser().absolute()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text if text.endswith("\n") else text + "\n")
    return path
