"""A host and a short working directory for each test of files."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.network.files.host import Running, running


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets."""
    directory = Path(tempfile.mkdtemp(prefix="uf-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def box(short_dir: Path) -> AsyncIterator[Running]:
    """A host that lets everybody in as developer."""
    async with running(short_dir) as host:
        yield host
