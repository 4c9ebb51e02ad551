"""Whom host and clients believe to be their relay: pins, first use, authorities; plain http."""

import hashlib
import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.network.daemon.test_link import RelayProcess, wait_for
from tests.network.daemon.test_proxy_command import proxied, ssh
from uptui.net.nearness import nearness
from uptui.net.proxies import is_exempt

WAYS = ("ssh-jump", "ssh-plain")
WRONG = "0" * 64


def certificate(folder: Path, name: str = "relay") -> tuple[str, str]:
    """A fresh certificate for 127.0.0.1 and its key, as paths."""
    files = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", files[1], "-out", files[0]),
        ],
        check=True,
        capture_output=True,
    )
    return files


def digest(path: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(path).read_text())).hexdigest()


@pytest.mark.parametrize("single", [False, True], ids=["http", "single"])
@pytest.mark.parametrize("transport", ["auto", "websocket"])
def test_the_url_that_the_relay_prints_is_all_that_is_needed(
    machine: Machine, single: bool, transport: str
) -> None:
    relay = RelayProcess(machine, "--self-signed", single=single)
    assert relay.announced.startswith(f"https://127.0.0.1:{relay.http}#sha256=")
    ready = machine.share(
        "--relay", relay.announced, "--transport", transport, "--alias", "demo-box"
    )
    for way in WAYS:
        assert machine.ssh(ready["strings"][way], "echo in").stdout == "in\n", way
    done = ssh(machine, proxied(machine, relay.announced, "demo-box"), "echo in")
    assert (done.stdout, done.stderr) == (b"in\n", b"")
    found = {check["name"]: check for check in machine.json("doctor")}
    assert found["TLS"]["detail"].endswith("pinned")
    assert found["WebSocket"]["status"] == "ok"


def test_a_wrong_pin_names_both_fingerprints_everywhere(machine: Machine) -> None:
    relay = RelayProcess(machine, "--self-signed")
    url, _, right = relay.announced.partition("#sha256=")
    machine.start("host", "--relay", f"{url}#sha256={WRONG}", log="host.log")
    told = [wait_for(machine, "retry")["reason"]]
    told.append(machine.run("proxy", "--relay", f"{url}#sha256={WRONG}", "demo-box").stderr)
    checks = json.loads(machine.run("doctor", "--json").stdout)
    told.append(next(check["detail"] for check in checks if check["name"] == "TLS"))
    for text in told:
        assert f"expected sha256 {WRONG}" in text
        assert f"it shows sha256 {right}" in text


def test_https_to_a_relay_without_tls_asks_whether_it_is_http(machine: Machine) -> None:
    relay = RelayProcess(machine)
    machine.start("host", "--relay", f"https://127.0.0.1:{relay.http}", log="host.log")
    assert "is it http:// instead?" in wait_for(machine, "retry")["reason"]


def test_a_certificate_that_nobody_vouches_for_is_refused_or_kept_from_its_first_use(
    machine: Machine,
) -> None:
    relay = RelayProcess(machine, "--self-signed")
    url, _, pin = relay.announced.partition("#sha256=")
    refused = machine.run("proxy", "--relay", url, "demo-box")
    assert (refused.returncode, "certificate verify failed" in refused.stderr) == (1, True)
    first = ("proxy", "--relay", url, "--trust", "first-use", "demo-box")
    assert "no session called" in machine.run(*first).stderr
    known = machine.folder / "s" / "default" / "known_relays"
    assert known.read_text() == f"127.0.0.1:{relay.http} sha256={pin}\n"
    relay.kill()
    (machine.folder / "relay" / "tls-certificate.pem").unlink()
    relay.start()
    other = relay.announced.partition("#sha256=")[2]
    changed = machine.run(*first)
    assert changed.returncode == 1
    for text in (pin, other, str(known), "changed since the first use"):
        assert text in changed.stderr


def test_first_use_remembers_that_authorities_vouched(machine: Machine) -> None:
    good, key = certificate(machine.folder)
    relay = RelayProcess(machine, "--tls-cert", good, "--tls-key", key)
    first = ("proxy", "--relay", relay.announced, "--trust", "first-use", "demo-box")
    assert "no session called" in machine.run(*first, UPTUI_CA_FILE=good).stderr
    known = machine.folder / "s" / "default" / "known_relays"
    assert known.read_text() == f"127.0.0.1:{relay.http} authorities\n"
    assert "certificate verify failed" in machine.run(*first).stderr


def test_renewed_certificate_files_are_taken_up(machine: Machine) -> None:
    files = certificate(machine.folder)
    relay = RelayProcess(machine, "--tls-cert", files[0], "--tls-key", files[1])
    before = f"{relay.announced}#sha256={digest(files[0])}"
    assert "no session called" in machine.run("proxy", "--relay", before, "demo-box").stderr
    certificate(machine.folder)
    after = f"{relay.announced}#sha256={digest(files[0])}"
    eventually(
        lambda: "no session called" in machine.run("proxy", "--relay", after, "demo-box").stderr,
        "the new certificate is shown",
    )
    assert "not the pinned one" in machine.run("proxy", "--relay", before, "demo-box").stderr


@pytest.mark.parametrize("command", [("host",), ("proxy", "demo-box")])
def test_plain_http_over_the_internet_has_to_be_asked_for(
    machine: Machine, command: tuple[str, ...]
) -> None:
    done = machine.run(command[0], "--relay", "http://192.0.2.7:8080", *command[1:])
    assert done.returncode == 2
    assert "--allow-http" in done.stderr
    assert "http://192.0.2.7:8080" in done.stderr


def test_plain_http_in_a_private_network_works_with_a_warning(machine: Machine) -> None:
    """169.254.77.77 is link-local: private, and given to loopback here."""
    address = "169.254.77.77"
    ip = ["ip", "netns", "exec"]
    space = f"http{machine.folder.name[-6:]}"
    subprocess.run(["ip", "netns", "add", space], check=True)
    try:
        for words in (f"addr add {address}/32 dev lo", "link set lo up"):
            subprocess.run(["ip", "-n", space, *words.split()], check=True)
        argv = [
            sys.executable,
            "-m",
            "uptui",
            "proxy",
            "--relay",
            f"http://{address}:9",
            "demo-box",
        ]
        done = subprocess.run(
            [*ip, space, *argv],
            env=machine.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        subprocess.run(["ip", "netns", "del", space], check=True)
    assert done.returncode == 1
    assert f"http://{address}:9 is plain http: everybody on this network" in done.stderr


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.8.8.8", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("10.1.2.3", "private"), ("172.31.0.1", "private"), ("192.168.1.1", "private"),
        ("169.254.1.1", "private"), ("fd00::1", "private"), ("fe80::1%eth0", "private"),
        ("172.32.0.1", "public"), ("192.0.2.1", "public"), ("100.64.0.1", "public"),
        ("2001:db8::1", "public"), ("::ffff:8.8.8.8", "public"), ("relay.example", None),
    ],
)  # fmt: skip
def test_nearness(address: str, where: str | None) -> None:
    assert nearness(address) == where


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        ("", False), ("*", True), ("example", True), (".example", True), ("*.example", True),
        ("relay.example", True), ("lay.example", False), ("relay.example:443", True),
        ("relay.example:80", False), ("other, relay.example", True), ("10.0.0.0/8", False),
    ],
)  # fmt: skip
def test_no_proxy(no_proxy: str, exempt: bool) -> None:
    assert is_exempt("relay.example", 443, no_proxy) is exempt
    assert is_exempt("10.2.3.4", 443, "10.0.0.0/8")
    assert is_exempt("fd00::1", 443, "[fd00::1]:443")


def test_a_proxy_that_speaks_something_else_is_named(machine: Machine) -> None:
    done = machine.run(
        "host", "--relay", "https://relay.invalid", ALL_PROXY="socks5://127.0.0.1:1", HTTPS_PROXY=""
    )
    assert done.returncode == 2
    assert "ALL_PROXY" in done.stderr
    assert "socks5" in done.stderr
