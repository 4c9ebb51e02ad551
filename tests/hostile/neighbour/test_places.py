"""Another user of the machine, `nobody`, makes our places first and answers for the daemon."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network.daemon.conftest import eventually
from tests.network.people.conftest import Crowd
from uptui.paths import places

NOBODY = 65534
IMPOSTOR = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
os.umask(0)
here = socket.socket(socket.AF_UNIX)
here.bind(sys.argv[1])
here.listen(5)
print("listening", flush=True)
while True:
    heard = here.accept()[0].recv(1000)
    print(heard, flush=True)
"""


def impostor_at(path: Path) -> "subprocess.Popen[str]":
    """Another user's listener, which shows whatever it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", IMPOSTOR, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def heard_by(process: "subprocess.Popen[str]") -> str:
    """All that it was told, at its end."""
    process.kill()
    said, _ = process.communicate()
    return said.replace("b''", "").strip()


def as_nobody(*argv: str | Path) -> None:
    subprocess.run(list(map(str, argv)), user=NOBODY, group=NOBODY, extra_groups=[], check=True)


@pytest.fixture
def common(crowd: Crowd) -> Crowd:
    """A machine whose temporary directory everybody may write to."""
    assert os.getuid() == 0, "another user's programs are started here"
    crowd.folder.chmod(0o711)
    shared = crowd.folder / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    crowd.env |= {"TMPDIR": str(shared), "XDG_RUNTIME_DIR": str(crowd.folder / "absent")}
    del crowd.env["UPTUI_RUNTIME_DIR"]
    return crowd


def runtime(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that anybody can compute."""
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "UPTUI_STATE_DIR"):
        monkeypatch.setenv(name, crowd.env[name])
    monkeypatch.setattr("tempfile.tempdir", None)
    found = places().runtime_dir
    monkeypatch.undo()
    assert found.is_relative_to(crowd.folder / "tmp")
    return found


def test_a_place_that_somebody_made_first(common: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    place = runtime(common, monkeypatch)
    as_nobody("mkdir", place.parent)
    as_nobody("chmod", "777", place.parent)
    started = common.run("host", "--json")
    assert started.returncode != 0
    assert f"belongs to user {NOBODY}" in started.stderr
    assert "UPTUI_RUNTIME_DIR" in started.stderr
    assert not place.exists()
    as_nobody("mkdir", place)
    impostor = impostor_at(place / "api.sock")
    asked = common.run("url")
    assert asked.returncode != 0
    assert f"belongs to user {NOBODY}" in asked.stderr
    assert not heard_by(impostor), "something was said to it"


def test_somebody_who_answers_for_the_daemon(common: Crowd) -> None:
    """In a directory that nobody can take from us, but everybody can put things into."""
    place = common.folder / "tmp" / "default"
    place.mkdir()
    place.chmod(0o1777)
    common.env["UPTUI_RUNTIME_DIR"] = str(place.parent)
    impostor = impostor_at(place / "api.sock")
    for command in ("url", "status"):
        asked = common.run(command)
        assert asked.returncode != 0
        assert f"user {NOBODY} answers there" in asked.stderr
    window = common.attach()
    window.shows(f"user {NOBODY} answers there")
    assert not heard_by(impostor), "something was said to it"


def test_a_careless_umask_and_what_a_killed_writer_left(crowd: Crowd) -> None:
    """Nothing is for others, parents included; temporary files go, and only ours."""
    deep = crowd.folder / "deep"
    crowd.env |= {"UPTUI_STATE_DIR": str(deep / "er" / "s"), "UPTUI_RUNTIME_DIR": str(deep / "r")}
    crowd.under = ("sh", "-c", 'umask 000; exec "$@"', "sh")
    process = crowd.share("--record") and crowd.processes[-1]
    assert crowd.json("invite", "alice")
    for path in [deep, *deep.rglob("*")]:
        found = path.lstat()
        assert not stat.S_IMODE(found.st_mode) & 0o077, f"{path}: {stat.filemode(found.st_mode)}"
    process.kill()
    process.wait()
    state = deep / "er" / "s" / "default"
    (state / ".invites.json.x1.uptui-tmp").write_text("secret")
    (state / ".link.uptui-tmp").symlink_to(state / "invites.json")
    os.mkfifo(state / ".pipe.uptui-tmp")
    os.chown(state / ".pipe.uptui-tmp", NOBODY, NOBODY)
    crowd.share()
    kept = {".link.uptui-tmp", ".pipe.uptui-tmp"}
    left = {path.name for path in state.rglob(".*.uptui-tmp")}
    assert eventually(lambda: left == kept, "the leftovers are gone")
    assert (state / "invites.json").exists()
