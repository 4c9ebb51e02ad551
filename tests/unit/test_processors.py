"""How many processors there are to use, from the files of both versions of control groups."""

import os
from pathlib import Path

import pytest

from uptui.runtime.cpu_quota import processors


def found(tmp_path: Path, files: dict[str, str], membership: str = "") -> float:
    """With 1,000 processors by affinity, so that only quotas count."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    mine = tmp_path / "membership"
    if membership:
        mine.write_text(membership)
    return processors(tmp_path, mine)


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    def affinity(_: int) -> set[int]:
        return set(range(1000))

    monkeypatch.setattr(os, "sched_getaffinity", affinity)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, 1000),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1000),
        ({"cpu.max": "nonsense\n"}, 1000),
        ({"cpu.max": "100000 0\n"}, 1000),
        ({}, 1000),
    ],
)
def test_the_quota_of_a_container_counts(
    files: dict[str, str], expected: float, tmp_path: Path
) -> None:
    assert found(tmp_path, files) == expected


@pytest.mark.parametrize("group", ["system.slice/uptui-relay.service", "system.slice"])
def test_the_quota_of_a_service_and_of_its_slice_counts(group: str, tmp_path: Path) -> None:
    files = {f"{group}/cpu.max": "80000 100000\n", "other.slice/cpu.max": "1000 100000\n"}
    membership = "0::/system.slice/uptui-relay.service\n"
    assert found(tmp_path, files, membership) == 0.8


def test_the_least_of_several_quotas_counts(tmp_path: Path) -> None:
    files = {"a.slice/cpu.max": "90000 100000\n", "a.slice/b/cpu.max": "300000 100000\n"}
    assert found(tmp_path, files, "0::/a.slice/b\n") == 0.9


def test_the_first_version_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    files = {"cpu/a/cpu.cfs_quota_us": "70000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}
    assert found(tmp_path, files, "2:cpuset:/x\n1:cpu,cpuacct:/a/b\n0::/\n") == 0.7


def test_groups_of_others_count_for_nothing(tmp_path: Path) -> None:
    none = "1000 100000\n"
    files = {"outside/cpu.max": none, "in/cpu/cpu.max": none, "in/other/cpu.max": none}
    found(tmp_path, files)
    mine = tmp_path / "membership"
    mine.write_text("0::/../outside\n0::/user.slice\n")
    assert processors(tmp_path / "in", mine) == 1000


@pytest.mark.parametrize("membership", ["nonsense", "0:", "::", "0::/gone\n"])
def test_what_cannot_be_read_limits_nothing(membership: str, tmp_path: Path) -> None:
    assert found(tmp_path, {}, membership) == 1000
