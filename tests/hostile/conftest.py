"""The share that is attacked, with its people."""

import pytest

from tests.hostile.honest import beside
from tests.network.daemon.conftest import machine
from tests.network.people.conftest import crowd

__all__ = ["crowd", "machine"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What watches an honest session is `alone`: other tests' load is no attack's doing."""
    for item in items:
        if isinstance(item, pytest.Function) and vars(item.module).get("beside") is beside:
            item.add_marker("alone")
