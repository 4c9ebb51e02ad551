"""Debian's haproxy in front of a relay."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path


@contextlib.asynccontextmanager
async def haproxy(folder: Path, config: str) -> AsyncGenerator[None]:
    """It runs with this configuration; that it ended by itself is an error that says why."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    assert program is not None, "these tests need Debian's package haproxy"
    file, said = folder / "haproxy.cfg", folder / "haproxy.log"
    file.write_text(config)
    with said.open("wb") as log:
        front = await asyncio.create_subprocess_exec(program, "-db", "-f", str(file), stderr=log)
    try:
        yield
    finally:
        ended = front.returncode is not None
        if not ended:
            front.terminate()
        await front.wait()
    assert not ended, said.read_text()
