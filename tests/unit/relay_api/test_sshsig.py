"""SSH signatures agree with ssh-keygen both ways, and damaged ones are refused with a reason."""

import subprocess
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptui.errors import ProtocolError
from uptui.protocol import sshsig
from uptui.relay.accounts.keys import AcceptedKey

NAMESPACE = "test@uptui"
MESSAGE = "a nonce of the relay"


@pytest.fixture(scope="module", params=["ed25519", "ecdsa", "rsa"])
def key_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-qt", request.param, "-N", "", "-f", path], check=True)
    return path


def by_ssh_keygen(key_file: Path, *options: str) -> str:
    command = ["ssh-keygen", "-Y", "sign", "-f", str(key_file), "-n", NAMESPACE, *options]
    done = subprocess.run(command, input=MESSAGE, text=True, capture_output=True, check=True)
    return done.stdout


def ours(key_file: Path) -> str:
    key = asyncssh.read_private_key(key_file)
    algorithm = {b"ssh-rsa": b"rsa-sha2-512"}.get(key.algorithm, key.algorithm)
    return sshsig.sign(
        NAMESPACE, MESSAGE.encode(), key.public_data, lambda data: key.sign(data, algorithm)
    )


@pytest.mark.parametrize("options", [(), ("-O", "hashalg=sha256")])
def test_we_verify_what_ssh_keygen_signs(key_file: Path, options: tuple[str, ...]) -> None:
    key = AcceptedKey(key_file.with_suffix(".pub").read_text())
    signature = by_ssh_keygen(key_file, *options)
    assert key.signed(signature, NAMESPACE, MESSAGE.encode())
    assert not key.signed(signature, NAMESPACE, b"another message")
    assert not key.signed(signature, "git", MESSAGE.encode())


def test_ssh_keygen_verifies_what_we_sign(key_file: Path, tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text(f"host {key_file.with_suffix('.pub').read_text()}")
    signature = tmp_path / "signature"
    signature.write_text(ours(key_file))
    command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "host", "-n", NAMESPACE, "-s"]

    def verify(message: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, signature], input=message, text=True, capture_output=True, check=False
        )

    good = verify(MESSAGE)
    assert good.returncode == 0, good.stderr
    bad = verify(MESSAGE + "!")
    assert bad.returncode != 0


def test_our_armor_is_the_one_of_ssh_keygen(key_file: Path) -> None:
    text = by_ssh_keygen(key_file)
    assert sshsig.armor(sshsig.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected text between"),
        (f"{sshsig.BEGIN}\n!!!!\n{sshsig.END}", "base64"),
        (f"{sshsig.BEGIN}\nAAAA\n{sshsig.END}", "magic"),
        (f"{sshsig.BEGIN}\nU1NIU0lH\n{sshsig.END}", "cut off"),
        (f"{sshsig.BEGIN}\n{'A' * sshsig.MAX_ARMORED}\n{sshsig.END}", "longer than"),
    ],
)
def test_damage_is_named(text: str, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        sshsig.parse(text)


def test_another_version_hash_or_a_tail_is_refused() -> None:
    good = sshsig.Signature(b"key", NAMESPACE, "sha512", b"\0\0\0\1a\0\0\0\1b")
    blob = sshsig.armor(good)
    assert sshsig.parse(blob) == good
    assert sshsig.algorithm(good) == "a"
    weak = sshsig.Signature(b"key", NAMESPACE, "md5", b"")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="sha256 or sha512"):
        sshsig.parse(sshsig.armor(weak))
    with pytest.raises(ProtocolError, match="cut off"):
        sshsig.algorithm(sshsig.Signature(b"", "", "sha512", b"\0\0\0\x09a"))


@given(st.binary(max_size=300), st.text(max_size=50), st.binary(max_size=300))
def test_what_is_armored_can_be_parsed(key: bytes, namespace: str, signature: bytes) -> None:
    whole = sshsig.Signature(key, namespace, "sha256", signature)
    assert sshsig.parse(sshsig.armor(whole)) == whole


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(data: bytes) -> None:
    import base64

    body = base64.b64encode(sshsig.MAGIC + data).decode()
    with pytest.raises(ProtocolError):
        sshsig.parse(f"{sshsig.BEGIN}\n{body}\n{sshsig.END}")
