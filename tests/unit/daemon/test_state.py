"""State files: private, atomic, versioned; identity keys; one daemon per directory."""

import base64
import os
import resource
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import asyncssh
import msgspec
import pytest

from uptui.config.values import identity, key_source, path
from uptui.errors import AlreadyRunningError, ConfigError, StateError, UptuiError
from uptui.host.keys.authorized_keys import check_readable
from uptui.host.keys.identity import load_host_keys, load_identity, public_line
from uptui.host.storage.lock import DaemonLock, holder
from uptui.host.storage.state_directory import StateDir
from uptui.runtime.private_files import private_directory, write_private


class Document(msgspec.Struct, kw_only=True):
    version: int = 2
    text: str = ""


def test_documents_come_back_and_are_private(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "s")
    assert state.load("doc", Document) is None
    state.save("doc", Document(text="one"))
    assert state.load("doc", Document) == Document(text="one")
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "s" / "doc.json").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["doc.json"]


def test_an_open_directory_is_closed(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o755)
    private_directory(tmp_path / "s")
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_a_file_or_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(StateError, match=name):
            private_directory(tmp_path / name)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "text": 3}', "\xff"])
def test_a_damaged_document_is_named_and_kept(tmp_path: Path, text: str) -> None:
    state = StateDir(tmp_path)
    file = tmp_path / "doc.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(StateError, match=r"doc\.json: damaged"):
        state.load("doc", Document)
    assert file.read_bytes() == text.encode("latin-1")


def test_older_documents_are_read_and_newer_ones_are_not(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    (tmp_path / "doc.json").write_text('{"version": 1, "text": "old", "gone": 1}')
    found = state.load("doc", Document)
    assert found is not None
    assert found.text == "old"
    (tmp_path / "doc.json").write_text('{"version": 3}')
    with pytest.raises(StateError, match="later uptui"):
        state.load("doc", Document)


def test_a_failed_write_leaves_the_old_content_and_no_scraps(tmp_path: Path) -> None:
    file = tmp_path / "doc"
    write_private(file, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from uptui.errors import StateError\n"
        "from uptui.runtime.private_files import write_private\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_private(Path(sys.argv[1]), b'x' * 5000)\n"
        "except StateError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, file], capture_output=True, text=True, check=True
    )
    assert str(file) in done.stdout
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["doc"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "identity"
    made = load_identity(None, "", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert public_line(load_identity(None, "", file)) == public_line(made)
    shown = subprocess.run(
        ["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True
    )
    assert " ".join(shown.stdout.split()[:2]) == public_line(made)


def test_an_identity_is_taken_from_text_or_path(tmp_path: Path) -> None:
    key = load_identity(None, "", tmp_path / "a")
    text = key.export_private_key("openssh").decode()
    unused = tmp_path / "unused"
    for given in (text, str(tmp_path / "a")):
        assert public_line(load_identity(given, "UPTUI_IDENTITY", unused)) == public_line(key)
    assert not unused.exists()


def test_an_identity_mangled_on_its_way_through_a_variable_is_taken(tmp_path: Path) -> None:
    key = load_identity(None, "", tmp_path / "a")
    text = key.export_private_key("openssh").decode()
    lines = text.splitlines()
    whole = base64.b64encode(text.encode()).decode()
    for given in (
        text.replace("\n", "\\n"), text.replace("\n", "\\r\\n"), text.replace("\n", "\r\n"),
        " ".join(lines), "".join(lines), f'"{text}"', f"'{text.strip()}'",
        whole, "\n".join(textwrap.wrap(whole, 76)), "".join(lines[1:-1]), f" {text}\n\n",
    ):  # fmt: skip
        read = identity(given)
        assert public_line(load_identity(read, "UPTUI_IDENTITY", tmp_path / "b")) == public_line(
            key
        )


@pytest.mark.parametrize("cut", [slice(0, -7), slice(3, None), slice(0, 60)])
def test_what_may_be_a_key_is_never_repeated(tmp_path: Path, cut: slice) -> None:
    key = load_identity(None, "", tmp_path / "a").export_private_key("openssh")
    for whole in (base64.b64encode(key).decode(), key.decode(), key.hex()):
        given = whole[cut]
        said: list[str] = []

        def load(text: str) -> None:
            load_identity(identity(text), "UPTUI_IDENTITY", tmp_path / "b")

        def further(text: str) -> None:
            load_host_keys([path(text)], "UPTUI_HOST_KEYS")

        def list_keys(text: str) -> None:
            check_readable([key_source(text)], "UPTUI_AUTHORIZED_KEYS")

        for take in (load, further, list_keys):
            try:
                take(given)
            except (UptuiError, ValueError) as error:
                said.append(str(error))
        assert said
        parts = {whole[at : at + 12] for at in range(40, len(whole) - 12)}
        assert not [part for part in parts for text in said if part in text]


def test_bad_identities_are_refused_without_repeating_them(tmp_path: Path) -> None:
    key = load_identity(None, "", tmp_path / "a")
    locked = key.export_private_key("openssh", passphrase="x").decode()
    for given, word in (
        (locked, "passphrase"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n", "not a private key"),
        (str(tmp_path / "nowhere"), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=word) as caught:
            load_identity(given, "UPTUI_IDENTITY", tmp_path / "b")
        assert "c2VjcmV0" not in str(caught.value)
        assert str(caught.value).startswith("UPTUI_IDENTITY: ")


def test_a_broken_identity_file_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "identity"
    file.write_text("broken")
    with pytest.raises(StateError, match="identity"):
        load_identity(None, "", file)
    assert file.read_text() == "broken"


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    assert holder(path) is None
    first = DaemonLock(path)
    first.acquire()
    assert holder(path) == os.getpid()
    with pytest.raises(AlreadyRunningError, match=rf"pid {os.getpid()}\b"):
        DaemonLock(path).acquire()
    first.release()
    assert holder(path) is None
    DaemonLock(path).acquire()


def test_keys_of_other_kinds_may_be_identities(tmp_path: Path) -> None:
    for kind in ("rsa", "ecdsa"):
        file = tmp_path / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file], check=True)
        assert isinstance(load_identity(str(file), "x", tmp_path / "unused"), asyncssh.SSHKey)
