"""Containers that lack what machines have: users without a name, /proc, /dev, an init."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.network.daemon.conftest import Machine, Terminal, eventually

WAYS = ("ssh-port", "ssh-jump", "ssh-plain")
ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
BARE = 'umount -l /proc && mount -t tmpfs none /dev && exec "$@"'


def test_a_user_without_name_and_home_hosts_on_each_way(machine: Machine) -> None:
    for variable in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        machine.env.pop(variable, None)
    machine.under = ("unshare", "--user", "--map-user=12345", "--map-group=12345")
    ready = machine.share()
    for way in WAYS:
        done = machine.ssh(ready["strings"][way], "id -u; echo $HOME $LOGNAME")
        assert (done.returncode, done.stdout) == (0, "12345\n/ 12345\n"), (way, done.stderr)
    # The scp that is installed would say "unknown user 12345".
    string = ready["strings"]["ssh-port"].replace("ssh", "scp -O", 1).replace("-p", "-P")
    *scp, at = machine.ssh_argv(string)
    source, target = f"{at}:{machine.folder}/key.pu?", machine.folder / "copied"
    subprocess.run([*scp, source, target], check=True, timeout=40)
    assert (machine.folder / "copied").read_text() == (machine.folder / "key.pub").read_text()


def test_nearly_everything_works_without_proc_and_dev(machine: Machine) -> None:
    machine.under = ("unshare", "--mount", "sh", "-c", BARE, "sh")
    string = machine.share()["strings"]["ssh-port"]
    done = machine.ssh(string, "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = machine.ssh(f"{string} -tt", "true")
    assert done.returncode == 126
    assert "there is no terminal for it, /dev/ptmx" in done.stdout
    files = machine.ssh_argv(string.replace("ssh", "sftp", 1).replace("-p", "-P"))
    batch = f"put {machine.key} {machine.folder}/copied\n"
    copied = subprocess.run(files, input=batch, capture_output=True, text=True, check=False)
    assert copied.returncode == 0, copied.stderr
    assert (machine.folder / "copied").read_text() == (machine.folder / "key.pub").read_text()


def buries_orphans(
    machine: Machine, string: str, meanwhile: Callable[[], object] = lambda: None
) -> str:
    """Leave one to the first process and wait until it is gone; the command line of that."""

    def buried() -> bool:
        meanwhile()
        return "defunct" not in machine.ssh(string, "ps ax").stdout

    orphan = "(sleep 0.1 &); sleep 0.5"
    first = machine.ssh(string, f"tr '\\0' ' ' < /proc/1/cmdline; {orphan}; ps ax").stdout
    assert "defunct" in first
    eventually(buried, "orphans are buried")
    return first.splitlines()[0]


def test_the_first_process_buries_orphans_and_ends_when_it_is_told_to(machine: Machine) -> None:
    machine.under = ALONE
    assert "-m uptui host" in buries_orphans(machine, machine.share()["strings"]["ssh-port"])
    assert machine.run("stop").returncode == 0
    assert machine.processes[0].wait(20) == 0


def test_the_interface_as_the_first_process_buries_orphans(machine: Machine) -> None:
    machine.under = ALONE
    terminal = Terminal(machine, "--authorized-keys", machine.key, "--unknown", "deny")
    eventually(lambda: terminal.shows(b"ssh -p"), "the TUI shows the string")
    string = machine.url()["strings"]["ssh-port"]
    line = buries_orphans(machine, string, lambda: terminal.shows(b""))
    assert f"-m uptui --authorized-keys {machine.key}" in line
    terminal.tear_away()


def test_a_container_that_is_stopped_while_it_starts_ends_at_once(machine: Machine) -> None:
    machine.under = ALONE
    process = machine.start("host", log="host.log")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def told() -> bool:
        """Python itself hears nothing in its first moments: tell it until it does."""
        for first in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(first), signal.SIGTERM)
        return process.poll() is not None

    eventually(told, "the end")
    assert process.returncode == 128 + signal.SIGTERM
    assert (machine.folder / "host.log").read_text() == ""
