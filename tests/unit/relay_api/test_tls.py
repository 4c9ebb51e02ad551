"""The self-made certificate: kept, private, and accepted by OpenSSL by its fingerprint."""

import stat
import subprocess
from pathlib import Path

import pytest

from uptui.errors import StateError
from uptui.relay.ingress.self_signed import CERTIFICATE_FILE, self_made


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::1", "relay.example"])
def test_openssl_reads_the_same_fingerprint(tmp_path: Path, host: str) -> None:
    made = self_made(tmp_path / "state", host)
    command = ["openssl", "x509", "-in", made.certificate, "-noout", "-fingerprint", "-sha256",
               "-ext", "subjectAltName"]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made.sha256.upper() in shown.replace(":", "")
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600


def test_it_stays_the_same_whatever_the_relay_is_called_later(tmp_path: Path) -> None:
    assert self_made(tmp_path, "a.example") == self_made(tmp_path, "b.example")


def test_a_damaged_certificate_is_named(tmp_path: Path) -> None:
    self_made(tmp_path, "a.example")
    (tmp_path / CERTIFICATE_FILE).write_text("rubbish")
    with pytest.raises(StateError, match=CERTIFICATE_FILE):
        self_made(tmp_path, "a.example")
