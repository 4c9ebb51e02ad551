"""Starts the daemon in the background and waits until it answers; knows nothing of what it does."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Final

from uptui.errors import StateError, UptuiError
from uptui.paths import Places
from uptui.runtime.inheritance import OURSELVES
from uptui.runtime.private_files import private_directory

START_TIMEOUT: Final = 30.0
"""Seconds within which the daemon must answer on its socket."""
POLL: Final = 0.05
TAIL_LINES: Final = 20
MAX_LOG_BYTES: Final = 4 * 1024 * 1024
"""Size above which daemon.log is begun anew; one older file is kept."""


class StartError(UptuiError):
    """The background daemon ended or did not answer; the text has the end of its log."""


def _open_log(places: Places) -> int:
    path = places.daemon_log
    private_directory(path.parent)
    try:
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise StateError(path, f"cannot be written: {error.strerror}") from error


def start(
    places: Places,
    flags: Mapping[str, object],
    answers: Callable[[], bool],
    arguments: tuple[str, ...] = (),
) -> int:
    """Run `uptui host --daemon` in a session of its own; returns its pid once it answers.

    `flags` go to it by setting key through a pipe, since some are secret. Raises
    StartError with the end of the log, StateError.
    """
    log = _open_log(places)
    from_here = os.fstat(log).st_size
    command = [*OURSELVES, "--name", places.name, *arguments]
    try:
        child = subprocess.Popen(
            [*command, "host", "--daemon"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(flags).encode())
        child.stdin.close()
    except BrokenPipeError:
        pass  # it ended at once: the log says why
    return _wait(child, places, from_here, answers)


def _wait(
    child: "subprocess.Popen[bytes]",
    places: Places,
    from_here: int,
    answers: Callable[[], bool],
) -> int:
    started = time.monotonic()
    while not answers():
        waited = time.monotonic() - started
        if child.poll() is not None:
            raise StartError(f"the daemon did not start:\n{_tail(places, from_here)}")
        if waited > START_TIMEOUT:
            raise StartError(
                f"the daemon (pid {child.pid}) does not answer after {waited:.0f} s; "
                f"the end of {places.daemon_log}:\n{_tail(places, from_here)}"
            )
        time.sleep(POLL)
    child.returncode = 0  # it is meant to outlive us: no warning that it still runs
    return child.pid


def _tail(places: Places, from_here: int) -> str:
    try:
        with places.daemon_log.open("rb") as file:
            file.seek(from_here)
            lines = file.read(64 * 1024).decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"({places.daemon_log} cannot be read: {error.strerror})"
    return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:]) or "  (nothing was logged)"
