"""A client reaches a host that accepts nothing inbound and that it has no route to."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.network.isolated.topology import CLIENT_ADDRESS, HOST_ADDRESS, RELAY_ADDRESS, Topology

HTTP_PORT, SSH_PORT = 8080, 2222
WAYS = ("port", "jump", "plain")


def environment(folder: Path) -> dict[str, str]:
    places = {f"UPTUI_{place}_DIR": str(folder / place) for place in ("STATE", "CONFIG", "RUNTIME")}
    # a shell that reads no files of the account that runs the tests
    return {**os.environ, **places, "UPTUI_SHELL": "/bin/sh"}


class Running:
    """The relay and the host of one test module, each on its own machine."""

    def __init__(self, topology: Topology, folder: Path) -> None:
        self.topology = topology
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True
        )
        self.start_relay()
        self.url = self.start_host()

    def _popen(self, argv: list[str], log: str) -> subprocess.Popen[str]:
        with (self.folder / log).open("a") as errors:
            process = subprocess.Popen(
                argv,
                env=environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.processes.append(process)
        return process

    def start_relay(self) -> None:
        self._popen(
            self.topology.relay.command(
                *(sys.executable, "-m", "uptui", "relay"),
                *("--http", f"{RELAY_ADDRESS}:{HTTP_PORT}", "--ssh", f"{RELAY_ADDRESS}:{SSH_PORT}"),
                *("--ports", "20000-20009", "--public-host", RELAY_ADDRESS),
                *("--state", str(self.folder / "relay")),
            ),
            "relay.log",
        )
        probe = ["curl", "-sf", f"http://{RELAY_ADDRESS}:{HTTP_PORT}/healthz"]
        deadline = time.monotonic() + 30
        while self.topology.host.run(*probe).returncode != 0:
            assert time.monotonic() < deadline, (self.folder / "relay.log").read_text()
            time.sleep(0.05)

    def start_host(self) -> dict[str, Any]:
        process = self._popen(
            self.topology.host.command(
                *(sys.executable, "-m", "uptui", "host", "--json", "--unknown", "deny"),
                *("--relay", f"http://{RELAY_ADDRESS}:{HTTP_PORT}"),
                *("--authorized-keys", str(self.folder / "key.pub")),
            ),
            "host.log",
        )
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(process.stdout.readline() or "{}")
        assert ready.get("event") == "ready", (self.folder / "host.log").read_text()
        return ready

    def options(self) -> list[str]:
        config = self.folder / "ssh_config"
        config.write_text(
            f"IdentityFile {self.folder}/key\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"StrictHostKeyChecking accept-new\nUserKnownHostsFile {self.folder}/known_hosts\n"
            "LogLevel ERROR\nBatchMode yes\n"
        )
        return ["-F", str(config)]

    def ssh(self, way: str, *command: str) -> list[str]:
        at = self.url["ways"][way]
        if way == "jump":
            where = ["-J", f"{at['user']}@{at['host']}:{at['port']}", at["target"]]
        else:
            where = ["-p", str(at["port"]), f"{at['user']}@{at['host']}"]
        return ["ssh", *self.options(), *where, *command]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    folder = tmp_path_factory.mktemp("isolated")
    topology = Topology.named(f"up{os.getpid()}")
    try:
        topology.make()
        at = Running(topology, folder)
        try:
            yield at
        finally:
            at.stop()
    finally:
        topology.remove()


def test_client_and_host_cannot_reach_each_other(running: Running) -> None:
    to_host = running.topology.client.run("curl", "-sm", "3", f"http://{HOST_ADDRESS}:1/")
    to_client = running.topology.host.run("curl", "-sm", "3", f"http://{CLIENT_ADDRESS}:1/")
    assert to_host.returncode == to_client.returncode == 7
    listening = running.topology.host.run("ss", "-Hltn")
    assert listening.returncode == 0
    assert listening.stdout == ""


@pytest.mark.parametrize("way", WAYS)
def test_exec_comes_through(running: Running, way: str) -> None:
    done = running.topology.client.run(*running.ssh(way, "echo out; echo err >&2; exit 7"))
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@pytest.mark.parametrize("way", WAYS)
def test_a_forward_to_where_no_route_leads_says_so(running: Running, way: str) -> None:
    ssh, *rest = running.ssh(way)
    argv = [ssh, "-o", "LogLevel=INFO", "-W", f"{CLIENT_ADDRESS}:22", *rest]
    done = running.topology.client.run(*argv)
    assert done.returncode == 255
    assert "open failed: connect failed: Network is unreachable" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_bytes_arrive_whole(running: Running, way: str) -> None:
    source = running.folder / "random"
    if not source.exists():
        source.write_bytes(os.urandom(20_000_000))
    echo = "bash --norc -c 'tee >(sha256sum >&2) | cat'"
    command = running.topology.client.command(*running.ssh(way, echo))
    with source.open("rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, timeout=60, check=True)
    expected = hashlib.sha256(source.read_bytes()).hexdigest()
    assert hashlib.sha256(done.stdout).hexdigest() == expected
    assert done.stderr.split()[0].decode() == expected


@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_copied(running: Running, way: str) -> None:
    at = running.url["ways"][way]
    there = running.folder / f"copied-{way}"
    source = running.folder / "file"
    source.write_text("content")
    jump = (
        ["-J", f"{at['user']}@{at['host']}:{at['port']}"]
        if way == "jump"
        else ["-P", str(at["port"])]
    )
    remote = at["target"] if way == "jump" else f"{at['user']}@{at['host']}"
    done = running.topology.client.run(
        "scp", *running.options(), *jump, str(source), f"{remote}:{there}"
    )
    assert done.returncode == 0, done.stderr
    assert there.read_text() == "content"


def test_the_relay_comes_back_and_the_strings_still_work(running: Running) -> None:
    relay = running.processes[0]
    relay.kill()
    relay.wait()
    running.start_relay()
    deadline = time.monotonic() + 40
    while True:
        outcomes = [running.topology.client.run(*running.ssh(way, "echo back")) for way in WAYS]
        if [done.stdout for done in outcomes] == ["back\n"] * 3:
            break
        assert time.monotonic() < deadline, [done.stderr for done in outcomes]
        time.sleep(0.2)
