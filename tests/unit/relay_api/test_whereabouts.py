"""Whose login a relay takes: one for its own addresses, behind its own certificate."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptui.errors import RelayRefusedError
from uptui.protocol.login import Origin, Statement
from uptui.relay.accounts.login_origin import Meeting, Whereabouts, spelled
from uptui.relay.ingress.certificates import OLD_TIME, TlsFiles
from uptui.relay.settings import Tls

OURS, OTHER = b"\1" * 32, b"\2" * 32
RELAY = Whereabouts(
    "https",
    spelled(["relay.example", "*.sub.example", "192.0.2.7", ""]),
    frozenset({443, 8443}),
    frozenset({Origin.parse("https://proxy.example")}),
    frozenset({OURS}),
)
DIRECT = Meeting(("10.0.0.5", 8443))
PROXIED = Meeting(("10.0.0.5", 8443), proxied=True)


def refusal(origin: str, meeting: Meeting = DIRECT, digest: bytes = OURS) -> str | None:
    """Why it is not taken."""
    seen = digest if origin.startswith("https") else b""
    try:
        RELAY.check(Statement("n", Origin.parse(origin), seen), meeting)
    except RelayRefusedError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "origin",
    [
        "https://relay.example",
        "https://RELAY.example.:8443",
        "https://a.sub.example",
        "https://192.0.2.7:8443",
        "https://proxy.example",
        "https://10.0.0.5:8443",
    ],
)
def test_its_own_addresses(origin: str) -> None:
    assert refusal(origin) is None
    assert refusal(origin, digest=OTHER) == "other_certificate"


@pytest.mark.parametrize(
    "origin",
    [
        "http://relay.example:443",
        "https://relay.example:444",
        "https://sub.example",
        "https://a.b.sub.example",
        "https://relay.example.evil.example",
        "https://proxy.example:8443",
        "https://10.0.0.5:443",
        "https://10.0.0.6:8443",
        "https://localhost:8443",
    ],
)
def test_addresses_of_others(origin: str) -> None:
    assert refusal(origin) == "other_origin"


def test_behind_a_proxy_its_own_end_and_its_certificate_say_nothing() -> None:
    assert refusal("https://10.0.0.5:8443", PROXIED) == "other_origin"
    assert refusal("https://proxy.example", PROXIED, OTHER) is None
    assert refusal("https://relay.example", PROXIED, OTHER) is None


@given(
    host=st.from_regex(r"[a-z0-9.-]{1,30}", fullmatch=True),
    port=st.integers(1, 65535),
    proxied=st.booleans(),
)
def test_nothing_else_is_taken_by_chance(host: str, port: int, proxied: bool) -> None:
    try:
        origin = Origin.of("https", host, port)
    except Exception:  # noqa: BLE001 - no host: nothing to be asked
        return
    known = (origin.host in RELAY.hosts or origin.host.endswith(".sub.example")) and port in {
        443,
        8443,
    }
    known = known or origin in RELAY.further or str(origin) == "https://10.0.0.5:8443"
    taken = refusal(str(origin), PROXIED if proxied else DIRECT) is None
    assert not taken or known


def certificate(folder: Path, *names: str) -> Tls:
    """Files of a fresh certificate for these names."""
    files = Tls(folder / "tls.pem", folder / "tls.key")
    subject = ",".join(names)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=x", "-addext", f"subjectAltName={subject}"),
            *("-keyout", files.key, "-out", files.certificate),
        ],
        check=True,
        capture_output=True,
    )
    return files


def test_the_certificate_before_a_renewal_counts_for_a_while(tmp_path: Path) -> None:
    files = certificate(tmp_path, "DNS:relay.example", "IP:192.0.2.7", "DNS:*.sub.example")
    now = [0.0]
    shown = TlsFiles(files, lambda: now[0])
    (first,) = shown.leaves()
    assert first.names == {"relay.example", "192.0.2.7", "*.sub.example"}
    shown.reload()
    assert shown.leaves() == [first], "the same certificate is no renewal"
    certificate(tmp_path, "DNS:new.example")
    shown.reload()
    second, old = shown.leaves()
    assert (second.names, old) == ({"new.example"}, first)
    now[0] = OLD_TIME - 1
    assert shown.leaves() == [second, first]
    now[0] = OLD_TIME
    assert shown.leaves() == [second]
    files.key.write_text("rubbish")
    shown.reload()
    assert shown.leaves() == [second], "what cannot be read changes nothing"
