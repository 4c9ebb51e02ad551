"""The honest session notices what it is there to notice."""

import os
import signal
import subprocess
import time

import pytest

from tests.hostile.honest import beside
from tests.network.people.conftest import Crowd


def test_nothing_is_noticed_where_nothing_happens(crowd: Crowd) -> None:
    string = crowd.accept()["ssh"]
    with beside(crowd.as_argv("alice", string)) as watch:
        assert crowd.as_ssh("bob", string, "echo", "hi").stdout == "hi\n"
    assert watch.echoes > 10
    assert watch.moved > 0


def _frozen(process: "subprocess.Popen[str]", seconds: float) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGCONT)


def test_a_pause_and_an_end_are_noticed(crowd: Crowd) -> None:
    process, ready = crowd.host("--unknown", "accept")
    argv = crowd.as_argv("alice", ready["strings"]["ssh"])
    with pytest.raises(AssertionError, match="echo p99"), beside(argv):
        _frozen(process, 2)
    with pytest.raises(AssertionError, match="broke"), beside(argv):
        crowd.run("kick", "--all")
