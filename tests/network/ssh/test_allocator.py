"""Freed pieces of half a megabyte are used again instead of being taken from the kernel anew."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from uptui.runtime.malloc_tuning import keep_freed
if sys.argv[1] == "kept":
    assert keep_freed()
def pieces():
    first, second, third = bytes(512 * 1024), bytes(512 * 1024), bytes(512 * 1024)
for _ in range(10):
    pieces()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    pieces()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, check=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt(3)")
def test_what_is_freed_is_kept() -> None:
    assert faults("kept") < faults("as usual") / 10
