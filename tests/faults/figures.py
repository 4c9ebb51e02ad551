"""How long each fault lasts in this run, and the table of what was measured."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

WHOLE: Final = os.environ.get("UPTUI_FAULTS") == "whole"
"""True in `python3 dev.py faults`: every fault at full length."""

BEGIN: Final = "<!-- figures -->"
END: Final = "<!-- end of figures -->"
PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"

T = TypeVar("T")


def length(short: T, whole: T) -> T:
    """The short form for the test command, the whole one for the table."""
    return whole if WHOLE else short


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    wanted: str
    measured: str


@dataclass
class Figures:
    """What this run has measured."""

    rows: list[Row] = field(default_factory=list[Row])

    def within(self, fault: str, seconds: float, limit: float) -> None:
        """Record a time, and assert that it is no longer than `limit` seconds."""
        self.rows.append(Row(fault, f"<= {limit:g} s", f"{seconds:.1f} s"))
        assert seconds <= limit, f"{fault}: {seconds:.1f} s, wanted {limit:g} s"

    def held(self, fault: str, wanted: str, holds: Callable[[], bool] | bool) -> None:
        """Record something that must be true, and assert it."""
        true = holds() if callable(holds) else holds
        self.rows.append(Row(fault, wanted, "yes" if true else "no"))
        assert true, f"{fault}: {wanted}"

    def table(self) -> str:
        """The rows as Markdown."""
        lines = ["| fault | wanted | measured |", "|---|---|---|"]
        lines += [f"| {row.fault} | {row.wanted} | {row.measured} |" for row in self.rows]
        return "\n".join(lines)

    def write(self, page: Path) -> None:
        """Put the table into the page, between its marks."""
        before, rest = page.read_text().split(BEGIN)
        _, after = rest.split(END)
        made = (
            f"Made on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores."
        )
        page.write_text(f"{before}{BEGIN}\n{made}\n\n{self.table()}\n{END}{after}")


FIGURES: Final = Figures()
