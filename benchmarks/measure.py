"""Interleaved rounds, medians and ratios; knows nothing of what is measured."""

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.rig import Target


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    measure: str
    unit: str
    sshd: float | None
    """None where there is nothing to compare with."""
    uptui: float
    wanted: str

    def markdown(self) -> str:
        sshd = f"{self.sshd:.4g}" if self.sshd else ""
        ratio = f"{self.uptui / self.sshd:.2f}" if self.sshd else ""
        figures = f"{sshd} | {self.uptui:.4g} | {ratio}"
        return f"| {self.measure} | {self.unit} | {figures} | {self.wanted} |"


HEADER = "| measure | unit | sshd direct | uptui | ratio | wanted |\n|---|---|---|---|---|---|"


def interleaved(
    targets: Sequence[Target], rounds: int, run: Callable[[Target], float]
) -> dict[str, float]:
    """The median of `run` for each target, taken in turns after one round that is not counted."""
    samples: dict[str, list[float]] = {target.name: [] for target in targets}
    for number in range(rounds + 1):
        for target in targets:
            value = run(target)
            if number:
                samples[target.name].append(value)
    return {name: statistics.median(values) for name, values in samples.items()}


def timed(argv: list[str], stdin: str | None = None) -> float:
    """Seconds that a command takes; its output is thrown away, its failure is raised."""
    with open(stdin or "/dev/null", "rb") as source:  # noqa: PTH123 - a device or a plain file
        start = time.perf_counter()
        subprocess.run(argv, stdin=source, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start


def cpu_seconds(pid: int) -> float:
    """User and system seconds that a process has used so far."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
