"""Host keys beside ed25519, for clients that know only others."""

import subprocess
from pathlib import Path

from tests.network.daemon.conftest import Machine


def key_of(machine: Machine, kind: str, *options: str) -> str:
    path = machine.folder / kind
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", "", "-f", path], check=True
    )
    return str(path)


def asking_for(machine: Machine, string: str, algorithms: str) -> str:
    """What `echo ok` says to a client that takes these host keys only, or why it failed."""
    known = machine.folder / f"known-{algorithms}"
    program, *where = string.split()
    options = (
        "-o",
        "LogLevel=INFO",
        "-o",
        f"HostKeyAlgorithms={algorithms}",
        "-o",
        f"UserKnownHostsFile={known}",
    )
    done = machine.ssh(" ".join((program, *options, *where)), "echo ok")
    return done.stdout or done.stderr


def test_an_rsa_key_beside_the_identity(machine: Machine) -> None:
    rsa = key_of(machine, "rsa", "-b", "3072")
    strings = machine.share("--host-keys", rsa)["strings"]
    for string in (strings["ssh-port"], strings["ssh-jump"]):
        for algorithm in ("rsa-sha2-256", "rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-ed25519"):
            assert asking_for(machine, string, algorithm) == "ok\n"
        for algorithm in ("ssh-rsa", "ecdsa-sha2-nistp384"):
            assert "no matching host key type found" in asking_for(machine, string, algorithm)
    assert machine.ssh(strings["ssh-plain"], "echo ok").stdout == "ok\n"
    public = Path(f"{rsa}.pub").read_text().split()[1]
    assert public in (machine.folder / "known-rsa-sha2-512").read_text()
    strict = strings["ssh-port"].replace("ssh", "ssh -o StrictHostKeyChecking=yes", 1)
    for algorithm in ("rsa-sha2-512", "ecdsa-sha2-nistp256", "ssh-ed25519"):
        (machine.folder / f"known-{algorithm}").write_text(strings["known_hosts"] + "\n")
        assert asking_for(machine, strict, algorithm) == "ok\n"


def test_an_identity_may_be_rsa(machine: Machine) -> None:
    rsa = key_of(machine, "rsa", "-b", "3072")
    string = machine.share("--identity", rsa)["strings"]["ssh-port"]
    assert asking_for(machine, string, "rsa-sha2-512") == "ok\n"
    assert "no matching host key type found" in asking_for(machine, string, "ssh-rsa")


def test_clients_learn_the_other_keys_once_they_know_one(machine: Machine) -> None:
    rsa = key_of(machine, "rsa", "-b", "3072")
    string = machine.share("--host-keys", rsa)["strings"]["ssh-port"]
    known = machine.folder / "known_hosts"
    assert machine.ssh(string, "true").returncode == 0
    stay = f"until [ $(wc -l <{known}) = 3 ]; do sleep 0.1; done"
    learning = string.replace("ssh", "ssh -o UpdateHostKeys=yes", 1)
    assert machine.ssh(learning, stay).returncode == 0
    kinds = {line.split()[1] for line in known.read_text().splitlines()}
    assert kinds == {"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"}


def test_an_openssh_that_prefers_ecdsa_knows_what_it_has_seen(machine: Machine) -> None:
    """OpenSSH before 8.5 takes ECDSA at first contact, and afterwards the kind that it knows."""
    share = machine.share()
    string = share["strings"]["ssh-port"]
    known = machine.folder / "known_hosts"
    first = "ssh -o HostKeyAlgorithms=ecdsa-sha2-nistp256,ssh-ed25519"
    strict = "ssh -o StrictHostKeyChecking=yes"
    assert machine.ssh(string.replace("ssh", first, 1), "echo ok").stdout == "ok\n"
    assert "ecdsa-sha2-nistp256" in known.read_text()
    assert machine.ssh(string.replace("ssh", strict, 1), "echo ok").stdout == "ok\n"
    lines = share["strings"]["known_hosts"].splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == share["host_keys"]
    for line in lines:
        known.write_text(line + "\n")
        assert machine.ssh(string.replace("ssh", strict, 1), "echo ok").stdout == "ok\n"


def test_a_file_that_is_no_key_is_named(machine: Machine) -> None:
    (machine.folder / "other").write_text("not a key")
    done = machine.run("host", "--host-keys", str(machine.folder / "other"))
    assert done.returncode == 2
    assert f"{machine.folder}/other: not a private key in OpenSSH format" in done.stderr
    assert "--host-keys" in done.stderr
