"""The certificate that a relay makes for itself, before programs that go by certificates' rules."""

import socket
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.network.daemon.test_link import RelayProcess
from uptui.relay.ingress import self_signed
from uptui.relay.ingress.certificates import EXPIRES_SOON, WARN_INTERVAL, TlsFiles
from uptui.relay.settings import Tls

STRICT = 0x20 | 0x80000
"""VERIFY_X509_STRICT and VERIFY_X509_PARTIAL_CHAIN: the defaults of Python 3.13."""


def openssl(*argv: str | Path) -> "subprocess.CompletedProcess[str]":
    """To its end, with both its outputs as one."""
    return subprocess.run(
        ["openssl", *map(str, argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )


def test_programs_that_go_by_the_rules_take_it(machine: Machine) -> None:
    relay = RelayProcess(machine, "--self-signed")
    file = machine.folder / "relay" / self_signed.CERTIFICATE_FILE
    at = f"127.0.0.1:{relay.http}"

    curl = ["curl", "-sS", "--noproxy", "*", "--cacert", str(file), f"https://{at}/healthz"]
    assert subprocess.run(curl, capture_output=True, text=True, check=True).stdout == "ok\n"

    context = ssl.create_default_context(cafile=str(file))
    context.verify_flags |= STRICT
    with (
        socket.create_connection(("127.0.0.1", relay.http)) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() == "TLSv1.3"

    strictly = ("verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1")
    assert openssl(*strictly, "-CAfile", file, file).returncode == 0
    shown = openssl(
        *("s_client", "-connect", at, "-CAfile", file, "-x509_strict", "-verify_return_error"),
        *("-verify_ip", "127.0.0.1"),
    )
    assert "Verify return code: 0 (ok)" in shown.stdout, shown.stdout

    text = openssl("x509", "-in", file, "-noout", "-text").stdout
    for words in (
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "X509v3 Subject Key Identifier",
        "IP Address:127.0.0.1",
    ):
        assert words in text, text
    lasts = str(round(timedelta(days=820).total_seconds()))
    assert openssl("x509", "-in", file, "-noout", "-checkend", lasts).returncode == 0


def test_its_key_can_vouch_for_nobody_else(tmp_path: Path) -> None:
    made = self_signed.self_made(tmp_path, "relay.example")
    asked, forged = tmp_path / "bank.csr", tmp_path / "bank.pem"
    new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(*new, "-subj", "/CN=bank.example", "-keyout", tmp_path / "bank.key", "-out", asked)
    openssl(
        *("x509", "-req", "-in", asked, "-CA", made.certificate, "-CAkey", made.key),
        *("-CAcreateserial", "-out", forged),
    )
    assert forged.stat().st_size
    refused = openssl("verify", "-CAfile", made.certificate, forged)
    assert refused.returncode != 0
    assert "invalid CA certificate" in refused.stdout


def test_an_end_that_comes_near_is_said_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = self_signed.self_made(tmp_path, "relay.example")
    ends = TlsFiles(Tls(made.certificate, made.key)).leaves()[0].ends
    assert ends is not None
    clock = [0.0, ends - EXPIRES_SOON - 1]
    files = TlsFiles(
        Tls(made.certificate, made.key, made.sha256), lambda: clock[0], lambda: clock[1]
    )

    def said(seconds: float) -> list[str]:
        clock[0] += seconds
        clock[1] += seconds
        caplog.clear()
        files.context()
        return [record.getMessage() for record in caplog.records]

    assert not said(0.5)
    (line,) = said(WARN_INTERVAL / 2)
    assert "certificate_expires" in line
    assert "do not go by the date" in line
    assert not said(WARN_INTERVAL / 2)
    assert len(said(WARN_INTERVAL / 2)) == 1


def test_its_end_matters_to_nobody_who_holds_its_digest(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_signed, "LIFETIME", timedelta(hours=-1))
    state = machine.folder / "relay"
    self_signed.self_made(state, "127.0.0.1")
    relay = RelayProcess(machine, "--self-signed")
    log = machine.folder / "relay.log"
    eventually(lambda: "certificate_expires" in log.read_text(), "the relay says so")
    assert "no session called" in machine.run("proxy", "--relay", relay.announced, "demo").stderr
    where = ("--api", f"https://127.0.0.1:{relay.http}", "--state-dir", str(state))
    listed = machine.run("relay", "token", "list", *where)
    assert "admin-token file" in listed.stdout, listed.stderr
