"""Variables that TLS libraries and HTTP clients read, set to what is of no use."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.network.daemon.conftest import Machine
from tests.network.daemon.test_link import RelayProcess
from tests.network.daemon.test_trust import certificate
from uptui.host.keys.sources import KeySources

BAD = {
    "SSL_CERT_FILE": "/absent/ca.pem",
    "SSL_CERT_DIR": "/absent/certs",
    "SSLKEYLOGFILE": "/absent/keys",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "HTTPS_PROXY": "http://[::1",
    "NO_PROXY": "[::1,²:²,a b,*.,://,http://[",
}
SOURCE = "https://keys.example/alice.keys"


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command says that fails as it should."""
    assert done.returncode in {1, 2}, done
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_share_lives_with_all_of_them(machine: Machine) -> None:
    """They matter to a source of keys, which is tried again, and to no command."""
    process, ready = machine.host(
        *("--authorized-keys", SOURCE, "--authorized-keys", machine.key, "--unknown", "deny"), **BAD
    )
    assert machine.ssh(ready["strings"]["ssh-port"], "echo in").stdout == "in\n"
    for command in ("status", "url", "log"):
        done = machine.run(command, **BAD)
        assert (done.returncode, done.stderr) == (0, ""), command
    log = machine.run("log").stdout
    assert "SSL_CERT_DIR: /absent/certs: no such directory" in log
    assert process.poll() is None


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("SSL_CERT_FILE", "SSL_CERT_FILE: /absent/ca.pem: No such file or directory"),
        ("SSL_CERT_DIR", "SSL_CERT_DIR: /absent/certs: no such directory"),
        ("SSLKEYLOGFILE", "SSLKEYLOGFILE: /absent/keys: No such file or directory"),
        ("ALL_PROXY", "ALL_PROXY: a proxy that speaks 'socks5' cannot be used"),
        ("HTTPS_PROXY", "HTTPS_PROXY: is not such as http://proxy.example:3128"),
    ],
)
async def test_what_needs_one_names_it(
    machine: Machine, variable: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a relay, an operator's command, keys from the web."""
    env = {variable: BAD[variable]}
    relay = "https://relay.example"
    assert words in one_line(machine.run("proxy", "--relay", relay, "demo-box", **env))
    listing = ("relay", "token", "list", "--api", relay, "--token", "upt_x")
    assert words in one_line(machine.run(*listing, **env))
    monkeypatch.setenv(variable, BAD[variable])
    reported: list[str] = []
    sources = KeySources([SOURCE], machine.folder / "cache", report=reported.append)
    await sources.refresh()
    assert words in reported[0]
    monkeypatch.delenv(variable)
    await sources.refresh(force=True)
    assert variable not in reported[1], "it is tried again"


def test_files_that_are_no_certificates_and_empty_variables(machine: Machine) -> None:
    relay = ("proxy", "--relay", "https://relay.example", "demo-box")
    said = one_line(machine.run(*relay, SSL_CERT_FILE=machine.key))
    assert f"SSL_CERT_FILE: {machine.key}: no certificates in PEM form" in said
    assert "SSL_CERT_FILE" not in machine.run(*relay, SSL_CERT_FILE="", SSL_CERT_DIR="").stderr


def test_they_are_followed_where_they_are_of_use(machine: Machine) -> None:
    good, key = certificate(machine.folder)
    relay = RelayProcess(machine, "--tls-cert", good, "--tls-key", key)
    visit = ("proxy", "--relay", relay.announced, "demo-box")
    assert "certificate verify failed" in machine.run(*visit).stderr
    assert "no session called" in machine.run(*visit, SSL_CERT_FILE=good).stderr
    folder = machine.folder / "authorities"
    folder.mkdir()
    shutil.copy(good, folder / "relay.pem")
    subprocess.run(["openssl", "rehash", folder], check=True)
    both = f"/absent:{folder}"
    assert "no session called" in machine.run(*visit, SSL_CERT_DIR=both).stderr
    token = Path(machine.folder / "relay" / "admin-token").read_text().strip()
    listing = ("relay", "token", "list", "--json", "--api", relay.announced, "--token", token)
    assert json.loads(machine.run(*listing, SSL_CERT_FILE=good, NO_PROXY="[").stdout)
