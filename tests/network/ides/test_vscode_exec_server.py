"""VS Code's exec server on a host as bare as Alpine: no bash, no flock, no wget, no curl."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.network.daemon.conftest import Machine, eventually
from tests.network.ides.conftest import Origin, new_machine
from tests.network.ides.desk import WAYS, Desk, alive, desk_of, pairs
from tests.network.ides.vscode import Install, Window, cli_archive, main_program, program

LACKING = {"bash", "wget", "curl", "flock", "ssh_client", "ldd"}
_LDD = "#!/bin/sh\necho 'musl libc (x86_64)' >&2\necho 'Version 1.2.5' >&2\nexit 1\n"
"""What musl's ldd answers to --version."""


def bare_path(machine: Machine) -> Path:
    """A PATH of busybox's programs alone."""
    folder = machine.folder / "bin"
    folder.mkdir()
    busybox = shutil.which("busybox")
    assert busybox is not None, "these tests need Debian's package busybox"
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in set(listed.stdout.split()) - LACKING:
        (folder / name).symlink_to(busybox)
    (folder / "ldd").write_text(_LDD)
    (folder / "ldd").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def bare() -> Generator[Desk]:
    with new_machine() as machine:
        folder = bare_path(machine)
        arguments = ("--authorized-keys", machine.key, "--unknown", "deny")
        with desk_of(machine, *arguments, "--shell", str(folder / "sh"), PATH=str(folder)) as desk:
            yield desk


@pytest.fixture
def desk(bare: Desk) -> Generator[Desk]:
    yield bare
    bare.leave()


@pytest.fixture
def install(origin: Origin) -> Install:
    return Install(origin.offer("/cli.tar.gz", cli_archive()), script="exec-server.sh")


def test_the_usual_programs_are_missing(desk: Desk) -> None:
    for name in ("bash", "wget", "curl", "flock"):
        done = desk.run(*desk.ssh("port", name))
        assert done.returncode == 127, done
        assert b"not found" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_the_client_downloads_and_copies_when_the_host_cannot(
    desk: Desk, install: Install, way: str
) -> None:
    window = Window(desk, way, install, shell="sh")
    lines = window.lines
    assert lines.next() == f"{window.id}: running"
    lines.until(f"{window.id}:trigger_server_download")
    wanted = pairs(lines.until(f"{window.id}:trigger_server_download_end"))
    target = wanted["destFolder"] + wanted["destFolder2"]
    local = desk.folder / "download.tar.gz"
    local.write_bytes(cli_archive())
    desk.ok("scp", "-F", str(desk.config), str(local), f"{way}:{target}")
    (desk.folder / "done").write_bytes(b"")
    desk.ok("scp", "-F", str(desk.config), str(desk.folder / "done"), f"{way}:{target}.done")
    found = window.results()
    assert (found["libc"], found["didLocalDownload"]) == ("musl", "1")
    assert found["arch"] == os.uname().machine
    assert window.fetch("/?tkn=", found["listeningOn"]).startswith(b"workbench")

    again = Window(desk, way, install, shell="sh")
    found = again.opened()
    assert found["didLocalDownload"] == "0"


def test_a_copy_that_fails_is_told_to_the_editor(desk: Desk) -> None:
    local = desk.folder / "any"
    local.write_bytes(b"x")
    for options in ((), ("-O",)):
        done = desk.run("scp", *options, "-F", str(desk.config), str(local), "port:/nowhere/at/all")
        assert done.returncode == 1
        assert b"/nowhere/at/all" in done.stderr


def test_the_exec_server_ends_with_its_window_and_its_servers_stay(
    desk: Desk, install: Install
) -> None:
    folder = desk.home / ".vscode-server"
    folder.mkdir(exist_ok=True)
    (folder / "editor_server.py").write_bytes(main_program())
    code = folder / f"code-{install.commit}"
    code.write_bytes(program("editor_server.py"))
    code.chmod(0o755)
    window = Window(desk, "port", install, shell="sh")
    found = window.opened()
    told = next(line for line in window.lines.seen if line.startswith("Spawned remote CLI"))
    exec_server = int(told.rpartition(" ")[2])
    words = [sys.executable, "-IS", str(folder / "editor_server.py"), "--start-server"]
    started = window.fetch("/spawn", found["listeningOn"], body="\n".join(words).encode())
    at = f"127.0.0.1:{started.decode().split()[-1]}"
    page = window.fetch("/?tkn=", at)
    window.vanish()
    eventually(lambda: not alive(window.script_pid), "the script ends with its window")
    eventually(lambda: not alive(exec_server), "the exec server ends with the script")
    again = Window(desk, "port", install, shell="sh")
    again.opened()
    assert again.fetch("/?tkn=", at) == page


def test_the_script_ends_and_its_background_server_stays(desk: Desk) -> None:
    """Without waiting at its end, the channel closes at once although the server runs on."""
    (desk.home / "main.py").write_bytes(main_program())
    log = desk.home / "background.log"
    command = f"{sys.executable} -IS {desk.home}/main.py > {log} 2>&1 < /dev/null & echo $!"
    pid = int(desk.ok(*desk.ssh("-T", "port", "sh"), stdin=f"{command}\n".encode()))
    eventually(lambda: "listening on" in log.read_text(), "the server listens")
    assert alive(pid)
