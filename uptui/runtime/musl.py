"""Whether the C library is a musl that is too old for the wheels of what uptui depends on."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

OLDEST: Final = (1, 2, 4)
"""Wheels tagged musllinux_1_2 are built against this version and crash on those before it."""
TIMEOUT: Final = 5.0
"""Seconds for the loader to say its version."""
ADVICE: Final = "use Alpine 3.18 or newer, or an image with glibc"
_VERSION: Final = re.compile(r"^Version (\d+)\.(\d+)\.(\d+)", re.MULTILINE)


def version(loaders: Iterable[Path] | None = None) -> tuple[int, int, int] | None:
    """That of the musl which runs this Python; None on another C library, or where it cannot be
    told. `loaders` are the dynamic loaders to ask, those of this machine when not given.

    Source: musl's ldso/dynlink.c prints its version when it is run without a program.
    """
    if loaders is None:
        loaders = () if _is_glibc() else sorted(Path("/lib").glob("ld-musl-*.so.1"))
    for loader in loaders:
        try:
            done = subprocess.run(
                [loader], capture_output=True, text=True, errors="replace", timeout=TIMEOUT,
                check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if found := _VERSION.search(done.stderr):
            return int(found[1]), int(found[2]), int(found[3])
    return None


def problem(found: tuple[int, int, int] | None) -> str | None:
    """Why this version is of no use, in words; None when it is."""
    if found is None or found >= OLDEST:
        return None
    need = ".".join(map(str, OLDEST))
    return f"musl {'.'.join(map(str, found))} is too old: what uptui depends on needs {need}"


def _is_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False
