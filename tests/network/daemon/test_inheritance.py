"""What the daemon was started with, and must neither stumble over nor pass on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network.daemon.conftest import Machine, Terminal, eventually
from tests.network.sshd import sshd

ODD = """
import os, resource, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1})
for number in (7, 33):
    os.dup2(os.open("/dev/null", os.O_RDONLY), number)
    os.set_inheritable(number, True)
os.umask(0o027)
os.environ.pop("LC_CTYPE", None)  # this interpreter's own
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""A parent that has got everything wrong."""

PROBE = (
    "umask; ulimit -Sn; ls /proc/self/fd | wc -l; pwd;"
    " grep -E 'Sig(Blk|Ign)' /proc/self/status; echo LC=$LC_CTYPE=; (exit 7)"
)


def without_internal(probed: str) -> list[str]:
    """The lines, without signals 32 and 33: glibc's own, which its posix_spawn(3) ignores."""
    return [line.replace("0000000180000000", f"{0:016}") for line in probed.splitlines()]


def url(machine: Machine) -> str:
    """How it is reached; empty while it is not."""
    return machine.run("url").stdout.strip()


def test_an_odd_parent_changes_nothing_that_sshd_would_not_have(
    machine: Machine, tmp_path: Path
) -> None:
    """Statuses, signals, descriptors and modes, as from sshd with the same parent."""
    machine.env = {k: v for k, v in machine.env.items() if k[:3] != "LC_" and k != "LANG"}
    machine.under = (sys.executable, "-c", ODD)
    string = machine.share()["strings"]["ssh"]
    ours = [machine.ssh(string, command) for command in (PROBE, "exit 0", "exit 255", "false")]
    assert [ran.returncode for ran in ours] == [7, 0, 255, 1]
    killed = machine.ssh(string, "kill -USR1 $$; sleep 5")
    assert killed.returncode == 255
    with sshd(tmp_path, under=("/bin/sh", "-c", 'umask 027; exec "$@"', "sh")) as reference:
        theirs = subprocess.run(
            reference.command("--", PROBE),
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    assert theirs.returncode == 7
    assert without_internal(ours[0].stdout) == without_internal(theirs.stdout)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_nobody_elses(machine: Machine, closed: str) -> None:
    key = machine.key
    line = f'"$0" -m uptui host --authorized-keys {key} --unknown deny {closed} & echo $!'
    shell = subprocess.Popen(
        ["/bin/sh", "-c", line, sys.executable],
        env=machine.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    string = eventually(lambda: url(machine), "the share to be up")
    ran = machine.ssh(string, "echo out; echo err >&2; cat; exit 3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, "out\n", "err\n")
    os.kill(pid, signal.SIGTERM)
    shell.stdout.close()
    shell.wait()


def test_the_directory_is_neither_imported_from_nor_kept_busy(
    machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('taken from the directory')\n")
    program = Path(sys.executable).with_name("uptui")
    machine.under = ("/bin/sh", "-c", f'cd {tmp_path}; shift 3; exec {program} "$@"', "sh")
    (tmp_path / "keys").write_text(Path(machine.key).read_text())
    window = Terminal(machine, "--authorized-keys", "keys", "--unknown", "deny")
    try:
        eventually(machine.api_socket.exists, "the daemon to run")
        pid = int(machine.json("status")["share"]["pid"])
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
        string = eventually(lambda: url(machine), "an address")
        assert machine.ssh(string, "echo in").stdout == "in\n"
    finally:
        window.tear_away()
