"""What old clients ask for puts no line of a library into the output of whoever shares."""

import warnings

import pytest
from cryptography.utils import CryptographyDeprecationWarning

from tests.network.daemon.conftest import Machine, machine
from uptui.ssh.policy import algorithms

__all__ = ["machine"]


def test_group_14_makes_no_noise(machine: Machine) -> None:
    strings = machine.share()["strings"]
    old = "ssh -o KexAlgorithms=diffie-hellman-group14-sha256"
    for way in ("ssh-port", "ssh-plain"):
        string = strings[way].replace("ssh", old, 1)
        assert machine.ssh(string, "echo in").stdout == "in\n"
    assert "Warning" not in (machine.folder / "host.log").read_text()


def test_other_warnings_are_left_alone() -> None:
    algorithms()
    with pytest.warns(CryptographyDeprecationWarning, match="another"):
        warnings.warn("another", CryptographyDeprecationWarning, stacklevel=1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        algorithms()
        warnings.warn("Diffie-Hellman elsewhere", CryptographyDeprecationWarning, stacklevel=1)
    assert len(seen) == 1
