"""What the daemon was told in confidence: nothing of it reaches what clients run or the log."""

import subprocess

from tests.network.daemon.conftest import Machine, eventually

WORD = "swordfish"
"""In every secret."""


def secrets(machine: Machine) -> dict[str, str]:
    """The variables of a daemon that was given all that can be given so."""
    key = machine.folder / "given"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", WORD, "-f", key], check=True
    )
    return {
        "UPTUI_IDENTITY": key.read_text(),
        "UPTUI_JOIN_TOKEN": f"{WORD}-join",
        "UPTUI_PROXY": f"http://user:{WORD}-proxy@127.0.0.1:1",
        "UPTUI_RELAY_JOIN_TOKEN": f"{WORD}-relay",
        "UPTUI_RELAY_DATABASE": f"postgresql://user:{WORD}@127.0.0.1:1/relay",
        "TEAM": "blue",
    }


def test_no_program_of_a_session_finds_the_daemons_secrets(machine: Machine) -> None:
    given = secrets(machine)
    shared = machine.folder / "shared"
    command = ("--", "/bin/sh", "-c", f"env > {shared}.part; mv {shared}.part {shared}; cat")
    admit = ("--authorized-keys", machine.key, "--unknown", "deny")
    _, ready = machine.host(*admit, *command, **given)
    string = ready["strings"]["ssh-port"]
    public = (machine.folder / "given.pub").read_text().split()[1]
    assert ready["host_key"].split()[1] == public  # the identity was taken from its variable
    eventually(shared.exists, "the shared command runs")
    without, within = (machine.ssh(string + option, "env").stdout for option in ("", " -tt"))
    for seen in (without, within, shared.read_text()):
        names = {line.split("=")[0] for line in seen.splitlines()}
        assert names & given.keys() == {"TEAM"}
        assert WORD not in seen
        assert "PRIVATE KEY" not in seen
    assert WORD not in (machine.folder / "host.log").read_text()
    arguments = machine.ssh(string, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert "uptui" in arguments
    assert WORD not in arguments
