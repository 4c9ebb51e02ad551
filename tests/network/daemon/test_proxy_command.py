"""`uptui proxy` and `nc -X connect` as ProxyCommands of the real ssh, against the real relay."""

import hashlib
import os
import subprocess
import sys

import pytest

from tests.network.daemon.conftest import Machine
from tests.network.daemon.test_link import RelayProcess

COMMANDS = ("uptui", "nc")


def proxied(machine: Machine, url: str, name: str, kind: str = "uptui") -> str:
    """What ssh needs to reach `name` by that program."""
    host = url.partition("://")[2].partition("#")[0]
    command = (
        f"{sys.executable} -m uptui proxy --relay {url} %h"
        if kind == "uptui"
        else f"nc -X connect -x {host} %h %p"
    )
    config = machine.folder / "ssh_config"
    block = f"Host {name}\n  ProxyCommand {command}\n"
    if block not in config.read_text():
        config.write_text(f"{block}Host *\n{config.read_text()}")
    return f"ssh {name}"


def ssh(
    machine: Machine, string: str, *command: str, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        machine.ssh_argv(string, *command),
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=machine.env,
    )


@pytest.mark.parametrize("kind", COMMANDS)
def test_ssh_comes_in_end_to_end(machine: Machine, kind: str) -> None:
    relay = RelayProcess(machine)
    ready = machine.share("--relay", relay.url, "--alias", "demo-box", "--e2e-only")
    string = proxied(machine, relay.url, "demo-box", kind)
    done = ssh(machine, string, "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    data = os.urandom(8_000_000)
    done = ssh(machine, string, "cat", stdin=data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    known = (machine.folder / "known_hosts").read_text()
    assert ready["host_key"].split()[1] in known


def test_a_name_that_nobody_serves_is_said(machine: Machine) -> None:
    relay = RelayProcess(machine)
    done = machine.run("proxy", "--relay", relay.url, "nobody")
    assert done.returncode == 1
    assert "no session called 'nobody' here" in done.stderr
    assert done.stdout == ""


def test_what_is_no_relay_and_what_is_not_there_are_said(machine: Machine) -> None:
    done = machine.run("proxy", "--relay", "http://127.0.0.1:1", "demo-box")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    done = machine.run("proxy", "demo-box")
    assert done.returncode == 2
    assert "--relay" in done.stderr


def test_half_close_passes_both_ways(machine: Machine) -> None:
    relay = RelayProcess(machine)
    machine.share("--relay", relay.url, "--alias", "demo-box")
    done = subprocess.run(
        [sys.executable, "-m", "uptui", "proxy", "--relay", relay.url, "demo-box"],
        input=b"SSH-2.0-nobody\r\n",
        capture_output=True,
        timeout=30,
        check=False,
        env=machine.env,
    )
    assert done.stdout.startswith(b"SSH-2.0-")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_name_is_said_to_the_relay_and_the_secret_only_to_the_host(
    machine: Machine, kind: str
) -> None:
    relay = RelayProcess(machine)
    _, ready = machine.host("--relay", relay.url, "--alias", "demo-box", "--unknown", "accept")
    user = ready["strings"]["ssh-jump"].split()[-1].partition("@")[0]
    string = proxied(machine, relay.url, "demo-box", kind)
    done = ssh(machine, f"{string} -l {user}", "echo in")
    assert (done.stdout, done.stderr) == (b"in\n", b"")
    done = ssh(machine, string, "echo in")
    assert done.stdout == b""
    assert b"whole string" in done.stderr


@pytest.mark.parametrize("kind", COMMANDS)
def test_both_work_on_a_single_port(machine: Machine, kind: str) -> None:
    relay = RelayProcess(machine, single=True)
    machine.share("--relay", relay.url, "--alias", "demo-box")
    done = ssh(machine, proxied(machine, relay.url, "demo-box", kind), "echo in")
    assert (done.stdout, done.stderr) == (b"in\n", b"")
