"""The figures of this run, shown at its end."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.faults.figures import FIGURES, PAGE, WHOLE, Figures
from tests.faults.network import Day, day
from tests.network.daemon.conftest import machine
from tests.network.people.conftest import crowd

__all__ = ["crowd", "machine"]


@pytest.fixture(scope="session")
def figures() -> Figures:
    return FIGURES


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Generator[Day]:
    """One share on three machines, for all faults of a module."""
    folder: Path = tmp_path_factory.mktemp("day")
    with day(folder, "s") as made:
        yield made


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Faults that take minutes belong to the whole run only."""
    if WHOLE:
        return
    long = [item for item in items if item.get_closest_marker("whole") is not None]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES.rows:
        terminalreporter.section("what the faults cost")
        terminalreporter.write_line(FIGURES.table())
        if WHOLE:
            FIGURES.write(PAGE)
