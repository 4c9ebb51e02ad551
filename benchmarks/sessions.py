"""Many connected sessions: memory of host and relay for each, and CPU while they idle."""

import subprocess
import time
from collections.abc import Iterator

import psutil

from benchmarks.measure import Row, cpu_seconds
from benchmarks.rig import Rig

SESSIONS = 500
BATCH = 25
IDLE_SECONDS = 20.0


def _memory(pid: int) -> float:
    """Resident kilobytes."""
    return psutil.Process(pid).memory_info().rss / 1000


def _established(pid: int) -> int:
    return sum(c.status == "ESTABLISHED" for c in psutil.Process(pid).net_connections("tcp"))


def idle(rig: Rig) -> Iterator[Row]:
    """500 clients that only stay (`ssh -N`); figures are per session and above the start."""
    before = {name: _memory(rig.pids[name]) for name in ("host", "relay")}
    already = _established(rig.pids["host"])
    clients: list[subprocess.Popen[bytes]] = []
    try:
        for wanted in range(BATCH, SESSIONS + 1, BATCH):
            while len(clients) < wanted:
                argv = rig.ways["port"].ssh(extra=("-N",))
                clients.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
            deadline = time.monotonic() + 60
            while _established(rig.pids["host"]) - already < wanted:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{wanted} sessions were not connected within 60 s")
                time.sleep(0.05)
        time.sleep(3)
        for name, limit in (("host", 110), ("relay", 40)):
            each = (_memory(rig.pids[name]) - before[name]) / SESSIONS
            what = f"{name} memory per session ({SESSIONS})"
            yield Row(what, "KB", None, each, f"<= {limit} KB")
        used = {name: cpu_seconds(rig.pids[name]) for name in ("host", "relay")}
        time.sleep(IDLE_SECONDS)
        for name, start in used.items():
            share = 100 * (cpu_seconds(rig.pids[name]) - start) / IDLE_SECONDS
            yield Row(f"{name} CPU with {SESSIONS} idle sessions", "%", None, share, "near zero")
    finally:
        for client in clients:
            client.kill()
        for client in clients:
            client.wait()
