"""The version of musl is what its loader says; one that is too old is named by every command."""

from pathlib import Path

import pytest

from uptui import cli
from uptui.runtime import musl

SAYS = """#!/bin/sh
echo "musl libc (x86_64)
Version {version}
Dynamic Program Loader
Usage: $0 [options] [--] pathname" >&2
exit 1
"""


def loader(folder: Path, text: str) -> Path:
    """A program where musl's loader would be."""
    path = folder / "ld-musl-x86_64.so.1"
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "old"), [("1.2.3", True), ("1.1.24", True), ("1.2.4", False), ("1.3.0-git", False)]
)
def test_a_version_is_read_and_judged(tmp_path: Path, version: str, old: bool) -> None:
    found = musl.version([tmp_path / "absent", loader(tmp_path, SAYS.format(version=version))])
    assert found is not None
    assert version.startswith(".".join(map(str, found)))
    assert (musl.problem(found) is not None) == old


def test_what_says_nothing_of_use_is_not_musl(tmp_path: Path) -> None:
    assert musl.version([loader(tmp_path, "#!/bin/sh\necho Version >&2\n")]) is None
    assert musl.version([loader(tmp_path, "no program")]) is None
    assert musl.version() is None, "these tests run on glibc"
    assert musl.problem(None) is None


def test_a_library_that_cannot_be_loaded_there_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> int:
        raise ImportError("Error relocating _rust.abi3.so: symbol not found")

    monkeypatch.setattr("uptui.cli._name_the_nameless", lambda: None)
    monkeypatch.setattr("uptui.cli.root.root.main", fails)
    with pytest.raises(ImportError):
        cli.run(["status"])
    monkeypatch.setattr("uptui.runtime.musl.version", lambda: (1, 2, 3))
    assert cli.run(["status"]) == cli.FAILED
    assert "musl 1.2.3 is too old" in capsys.readouterr().err
