"""Interleaved rounds, medians and ratios; knows nothing of what is measured."""

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.rig import Target

STOLEN: Final = 0.05
"""Part of the busy time that a hypervisor may give to others before a run is made again."""
TRIES: Final = 4
"""How often a run is made at most; the one with the least stolen counts."""

T = TypeVar("T")


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


@dataclass
class Steal:
    """How many runs there were, and how many of them were disturbed by the hypervisor's others."""

    runs: int = 0
    again: int = 0
    """Runs thrown away and made again."""
    kept: int = 0
    """Runs that count although they were disturbed each time."""

    def sentence(self) -> str:
        return (
            f"Of {self.runs + self.again} runs {self.again} were made again, because the "
            f"hypervisor had taken more than\n{STOLEN:.0%} of their busy time for other guests "
            f"(steal in /proc/stat); {self.kept} count although\nthey were disturbed {TRIES} times."
        )


STEAL: Final = Steal()
"""Of this process."""


def undisturbed(run: Callable[[], T]) -> T:
    """What `run` gives when the hypervisor leaves us our processors; the best of TRIES if never.

    Which run counts is decided by the stolen time only, never by what it measured.
    """
    STEAL.runs += 1
    kept: list[tuple[float, T]] = []
    for attempt in range(1, TRIES + 1):
        busy, stolen = _busy_and_stolen()
        value = run()
        now_busy, now_stolen = _busy_and_stolen()
        part = (now_stolen - stolen) / max(1, now_busy - busy)
        if part <= STOLEN:
            return value
        kept.append((part, value))
        STEAL.again += attempt < TRIES
    STEAL.kept += 1
    return min(kept, key=lambda one: one[0])[1]


def _busy_and_stolen() -> tuple[int, int]:
    """Ticks that the processors were wanted, and those of them that others got (proc(5), stat)."""
    words = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words)
    return user + nice + system + irq + softirq + steal, steal


def in_turns(
    targets: Sequence[Target], rounds: int, run: Callable[[Target], T]
) -> dict[str, list[T]]:
    """What `run` gives for each target, taken in turns after one round that is not counted."""
    samples: dict[str, list[T]] = {target.name: [] for target in targets}
    for target in targets:
        run(target)
    for _ in range(rounds):
        for target in targets:
            samples[target.name].append(undisturbed(partial(run, target)))
    return samples


def interleaved(
    targets: Sequence[Target], rounds: int, run: Callable[[Target], float]
) -> dict[str, float]:
    """The median of `run` for each target, taken in turns."""
    samples = in_turns(targets, rounds, run)
    return {name: statistics.median(values) for name, values in samples.items()}


def interleaved_many(
    targets: Sequence[Target], rounds: int, run: Callable[[Target], tuple[float, ...]]
) -> dict[str, list[float]]:
    """As `interleaved`, of several figures at once."""
    return {
        name: [statistics.median(values) for values in zip(*samples, strict=True)]
        for name, samples in in_turns(targets, rounds, run).items()
    }


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
