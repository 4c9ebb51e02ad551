"""Waiting: connecting, a further channel, the echo of a key while idle and while bulk runs."""

import os
import pty
import select
import statistics
import struct
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, interleaved, interleaved_many, timed
from benchmarks.rig import Rig, Target

KEYS = 400
STATS = 2000
SFTP_INIT, SFTP_STAT = 1, 17
SFTP_VERSION = 3
READY = b"ready\n"
FLOWING = 10_000_000
"""Bytes after which a download counts as running."""


@contextmanager
def master(rig: Rig, target: Target, *extra: str) -> Generator[Target]:
    """A ControlMaster connection to a target; what is yielded goes through it."""
    path = rig.folder / f"cm-{target.name}"
    subprocess.run(
        target.ssh(extra=("-MNf", "-o", f"ControlPath={path}", *extra)),
        check=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield target.with_options("-o", f"ControlPath={path}")
    finally:
        subprocess.run(
            target.ssh(extra=("-O", "exit", "-o", f"ControlPath={path}")),
            check=True,
            stderr=subprocess.DEVNULL,
        )


def connecting(rig: Rig, rounds: int) -> Iterator[Row]:
    """Connect and run `true`, `true` as a further channel, and one answer within a channel."""
    got = interleaved(rig.targets, rounds * 4, lambda t: 1000 * timed(t.ssh("true")))
    yield Row("connect + true", "ms", got["sshd"], got["port"], "<= 0.25x")
    with master(rig, rig.sshd) as sshd, master(rig, rig.ways["port"]) as port:
        got = interleaved([sshd, port], rounds * 4, lambda t: 1000 * timed(t.ssh("true")))
    yield Row("further channel (ControlMaster), true", "ms", got["sshd"], got["port"], "<= 1.1x")
    got = interleaved(rig.targets, rounds, _answers)
    yield Row("answer to an SFTP request", "ms", got["sshd"], got["port"], "")


def _answers(target: Target) -> float:
    """Median of the milliseconds that an SFTP `stat` takes, asked one after the other."""
    with subprocess.Popen(
        target.ssh("sftp", extra=("-s",)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = process.stdout.fileno()

        def ask(kind: int, number: int, *text: bytes) -> None:
            assert process.stdin is not None
            words = b"".join(struct.pack(">I", len(word)) + word for word in text)
            packet = struct.pack(">BI", kind, number) + words
            process.stdin.write(struct.pack(">I", len(packet)) + packet)
            if not os.read(answers, 64 * 1024):
                raise ConnectionError("the SFTP session has ended")

        ask(SFTP_INIT, SFTP_VERSION)
        samples: list[float] = []
        for number in range(STATS):
            start = time.perf_counter()
            ask(SFTP_STAT, number, b"/")
            samples.append(1000 * (time.perf_counter() - start))
        process.stdin.close()
    return statistics.median(samples)


def _echoes(target: Target) -> list[float]:
    """Milliseconds that each of KEYS bytes needs to come back from a raw remote terminal."""
    outer, inner = pty.openpty()
    argv = target.ssh("stty raw -echo; printf 'ready\\n'; exec cat", extra=("-tt",))
    process = subprocess.Popen(argv, stdin=inner, stdout=inner, stderr=subprocess.DEVNULL)
    os.close(inner)
    try:
        seen = b""
        while READY not in seen:
            seen += os.read(outer, 1000)
        samples: list[float] = []
        for _ in range(KEYS):
            start = time.perf_counter()
            os.write(outer, b"x")
            if not select.select([outer], [], [], 10)[0]:
                raise TimeoutError("no echo within 10 s")
            os.read(outer, 100)
            samples.append(1000 * (time.perf_counter() - start))
            time.sleep(0.002)
        return samples
    finally:
        process.kill()
        process.wait()
        os.close(outer)


def _percentiles(samples: list[float]) -> tuple[float, float]:
    return statistics.median(samples), statistics.quantiles(samples, n=100)[98]


def echo(rig: Rig, rounds: int, bulk: Path) -> Iterator[Row]:
    """Key echo p50 and p99, idle and while a bulk download runs beside it, and that download."""
    for state in ("idle", "during a bulk download"):
        run = _echoes_idle if state == "idle" else partial(_echoes_loaded, bulk)
        medians = interleaved_many(rig.targets, rounds, run)
        limits = ("<= 0.5 ms", "<= 4 ms") if state == "idle" else ("<= 1 ms", "<= 6 ms")
        for index, (name, wanted) in enumerate(zip(("p50", "p99"), limits, strict=True)):
            sshd, port = medians["sshd"][index], medians["port"][index]
            yield Row(f"key echo {name}, {state}", "ms", sshd, port, wanted)
        if state != "idle":
            sshd, port = medians["sshd"][2], medians["port"][2]
            yield Row("bulk download beside it", "MB/s", sshd, port, ">= 0.8x")


def _echoes_idle(target: Target) -> tuple[float, ...]:
    return _percentiles(_echoes(target))


def _written(pid: int) -> int:
    """Bytes that a process has written so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def _echoes_loaded(bulk: Path, target: Target) -> tuple[float, ...]:
    """p50, p99 and the MB/s of a download that runs meanwhile."""
    argv = target.ssh(f"while cat {bulk}; do :; done")
    load = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _written(load.pid) > FLOWING:
            time.sleep(0.01)
        before, start = _written(load.pid), time.perf_counter()
        percentiles = _percentiles(_echoes(target))
        rate = (_written(load.pid) - before) / 1e6 / (time.perf_counter() - start)
        return (*percentiles, rate)
    finally:
        load.kill()
        load.wait()
