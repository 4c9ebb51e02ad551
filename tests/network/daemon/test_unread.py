"""Host and relay whose output nobody reads: a paused log collector must not stop a session."""

import fcntl
import json
import os
import subprocess
import sys
import urllib.request

from tests.network.daemon.conftest import Machine

PAGE = 4096
"""Smallest capacity of a pipe."""
EVENTS = 40
LOOKS = 60


def waits_in(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, 0x541B, bytes(4)), sys.byteorder)  # FIONREAD


def test_nobody_reads_what_the_host_prints(machine: Machine) -> None:
    process, ready = machine.host("--authorized-keys", machine.key, "--unknown", "deny")
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PAGE)
    for number in range(EVENTS):
        assert machine.ssh(ready["strings"]["ssh"], f"exit {number}").returncode == number
    assert 0 < waits_in(process.stdout.fileno()) <= PAGE < len(machine.run("log", "--json").stdout)
    machine.run("stop")
    assert process.wait(20) == 0


def test_nobody_reads_what_the_relay_logs(machine: Machine) -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PAGE)
    flags = ["--http", "127.0.0.1:0", "--ssh", "127.0.0.1:0", "--public-host", "127.0.0.1"]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uptui",
            "relay",
            *flags,
            "--state",
            machine.folder / "relay",
            "--json",
        ],
        env=machine.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as relay:
        os.close(theirs)
        try:
            assert relay.stdout is not None
            url = json.loads(relay.stdout.readline())["url"]
            for _ in range(LOOKS):
                with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
                    assert answer.status == 200
            relay.terminate()
            assert relay.wait(20) == 0
            assert 0 < os.read(ours, 2 * PAGE).count(b"/healthz") < LOOKS
        finally:
            relay.kill()
            os.close(ours)
