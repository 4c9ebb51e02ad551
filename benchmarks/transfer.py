"""Bulk: exec and sftp in both directions, small files by sftp, scp and rsync."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Row, cpu_seconds, interleaved, timed
from benchmarks.rig import Rig, Target

MB = 1_000_000
SMALL_FILES = 2000
GCM = ("-o", "Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com")


def random_file(path: Path, megabytes: int) -> Path:
    """A file of random data, so that nothing on the way can compress it."""
    with path.open("wb") as out:
        for _ in range(megabytes):
            out.write(os.urandom(MB))
    return path


def _bulk(source: Path, megabytes: int, scratch: Path) -> dict[str, Callable[[Target], float]]:
    def sftp(target: Target, line: str) -> float:
        batch = scratch / "batch"
        batch.write_text(line + "\n")
        argv = target.copy("sftp", "-q", "-b", str(batch), target.remote)
        return megabytes / timed(argv)

    return {
        "exec download": lambda t: megabytes / timed(t.ssh(f"cat {source}")),
        "exec upload": lambda t: megabytes / timed(t.ssh("cat > /dev/null"), str(source)),
        "sftp get": lambda t: sftp(t, f"get {source} {scratch}/got"),
        "sftp put": lambda t: sftp(t, f"put {source} {scratch}/put"),
    }


WANTED = {
    "default": {"exec download": 1.4, "exec upload": 1.5, "sftp get": 1.3, "sftp put": 1.6},
    "AES-GCM": {"exec download": 0.95, "exec upload": 1.2, "sftp get": 1.0, "sftp put": 1.2},
}


def bulk(rig: Rig, rounds: int, megabytes: int) -> Iterator[Row]:
    """The four bulk directions with the client's default ciphers and with AES-GCM."""
    source = random_file(rig.folder / "bulk", megabytes)
    scratch = rig.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    for ciphers, options in (("default", ()), ("AES-GCM", GCM)):
        targets = [target.with_options(*options) for target in rig.targets]
        for name, run in _bulk(source, megabytes, scratch).items():
            got = interleaved(targets, rounds, run)
            wanted = f">= {WANTED[ciphers][name]}x"
            yield Row(f"{name}, {ciphers}", "MB/s", got["sshd"], got["port"], wanted)
    yield from _ways(rig, rounds, megabytes, source)
    shutil.rmtree(scratch)


def _ways(rig: Rig, rounds: int, megabytes: int, source: Path) -> Iterator[Row]:
    """What the plain way costs, and the relay's CPU per gigabyte."""
    port, plain = rig.ways["port"], rig.ways["plain"]

    def download(target: Target) -> float:
        return megabytes / timed(target.ssh(f"cat {source}"))

    got = interleaved([port, plain], rounds, download)
    yield Row(
        "plain way against direct port, download", "MB/s", got["port"], got["plain"], ">= 0.5x"
    )

    def used(target: Target) -> float:
        before = cpu_seconds(rig.pids["relay"])
        download(target)
        return (cpu_seconds(rig.pids["relay"]) - before) / (megabytes / 1000)

    cpu = interleaved([port], rounds, used)["port"]
    yield Row("relay CPU per GB, direct port", "s", None, cpu, "<= 0.5 s")


def small_files(rig: Rig, rounds: int) -> Iterator[Row]:
    """2,000 small files with sftp -r, scp -r and rsync, both ways."""
    source = rig.folder / "small"
    source.mkdir()
    for number in range(SMALL_FILES):
        (source / f"f{number}").write_bytes(os.urandom(1000 + number % 3000))
    there, here = rig.folder / "there", rig.folder / "here"

    def clean(run: Callable[[Target], float]) -> Callable[[Target], float]:
        def cleaned(target: Target) -> float:
            for folder in (there, here):
                shutil.rmtree(folder, ignore_errors=True)
            return SMALL_FILES / run(target)

        return cleaned

    def sftp(target: Target, line: str) -> float:
        batch = rig.folder / "batch-small"
        batch.write_text(line + "\n")
        return timed(target.copy("sftp", "-q", "-b", str(batch), target.remote))

    def rsync(target: Target, *arguments: str) -> float:
        shell = " ".join(["ssh", *target.options, "-p", str(target.port)])
        return timed(["rsync", "-r", "-e", shell, *arguments])

    runs: dict[str, Callable[[Target], float]] = {
        "sftp -r get": lambda t: sftp(t, f"get -r {source} {here}"),
        "sftp -r put": lambda t: sftp(t, f"put -r {source} {there}"),
        "scp -r get": lambda t: timed(t.copy("scp", "-qr", f"{t.remote}:{source}", str(here))),
        "scp -r put": lambda t: timed(t.copy("scp", "-qr", str(source), f"{t.remote}:{there}")),
        "rsync get": lambda t: rsync(t, f"{t.remote}:{source}/", f"{here}/"),
        "rsync put": lambda t: rsync(t, f"{source}/", f"{t.remote}:{there}/"),
    }
    for name, run in runs.items():
        got = interleaved(rig.targets, rounds, clean(run))
        yield Row(
            f"{SMALL_FILES} small files, {name}", "files/s", got["sshd"], got["port"], ">= 0.85x"
        )
