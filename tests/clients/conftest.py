"""A host on its three ways, and sshd beside it; families that take long run when asked for."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.network.ides.conftest import desk, host, machine
from tests.network.sshd import Sshd

__all__ = ["desk", "host", "machine", "sshd"]

WHOLE = bool(os.environ.get("UPTUI_CLIENTS"))
"""Set by `python3 dev.py clients`."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Families that CI does not install belong to `dev.py clients` only."""
    if WHOLE:
        return
    heavy = [item for item in items if item.get_closest_marker("family") is not None]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sshd]:
    """OpenSSH's server; a test writes its authorized_keys."""
    folder: Path = tmp_path_factory.mktemp("sshd") / "s"
    made = Sshd(folder)
    yield made
    made.close()
