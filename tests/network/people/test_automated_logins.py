"""Programs that log in on a terminal by themselves, twice in a row: each leaves a shell behind."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.network.people.conftest import Crowd, eventually
from tests.network.people.test_terminals import shell_of

PEXPECT = """
import pexpect, sys
child = pexpect.spawn(sys.argv[1], sys.argv[2:], encoding="utf-8", timeout=20)
child.expect("[#$%>] ?$")
child.sendline("")
child.expect("[#$%>] ?$")
child.sendline("echo [$((40+2))$OLD]")
child.expect(r"\\[42\\]")
child.kill(9)
"""

EXPECT = """
set timeout 20
spawn -noecho {*}$argv
expect {
    -re {[#$%>] ?$} { send "\\r" }
    timeout { exit 1 }
}
expect {
    -re {[#$%>] ?$} { send "echo \\[\\$((40+2))\\$OLD\\]\\r" }
    timeout { exit 1 }
}
expect {
    -ex {[42]} { exit 0 }
    timeout { exit 1 }
}
"""

TRAMP = """
(require 'tramp)
(setq tramp-terminal-type "dumb" tramp-verbose 1 tramp-connection-timeout 20
      tramp-use-ssh-controlmaster-options nil auto-save-default nil create-lockfiles nil)
(setcar (cdr (assq 'tramp-login-program (cdr (assoc "ssh" tramp-methods)))) (getenv "LOGIN"))
(with-temp-buffer
  (insert-file-contents (concat "/ssh:there:" (getenv "REMOTE_FILE")))
  (princ (buffer-string)))
"""


@pytest.fixture
def login(crowd: Crowd) -> list[str]:
    """How bob logs in, who has a kept shell in which OLD is set."""
    string = crowd.accept()["ssh"]
    window = crowd.window("bob", string)
    shell_of(window)
    window.type("OLD=old; PS1='$ '\r")
    window.shows("OLD=old; PS1")
    window.lose()
    eventually(crowd.terminals, "the shell to be kept")
    return crowd.as_argv("bob", string)


def run(crowd: Crowd, argv: list[str], stdin: str = "", **env: str) -> str:
    """Run a client to its good end; what it printed."""
    done = subprocess.run(
        argv,
        input=stdin,
        env={**crowd.env, "TERM": "xterm", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("emacs") is None, reason="emacs-nox is not installed")
def test_tramp_twice(crowd: Crowd, login: list[str], tmp_path: Path) -> None:
    """TRAMP says TERM=dumb; what Emacs leaves behind at its end is not kept."""
    wrapper, text = tmp_path / "login", tmp_path / "text"
    # TRAMP's own arguments name a host that does not exist: the way there is ours
    wrapper.write_text(f"#!/bin/sh\nexec {' '.join(login)} -tt\n")
    wrapper.chmod(0o755)
    text.write_text("of the host\n")
    for _ in range(2):
        argv = ["emacs", "-Q", "--batch", "--eval", f"(progn {TRAMP})"]
        seen = run(crowd, argv, LOGIN=str(wrapper), REMOTE_FILE=str(text), HOME=str(tmp_path))
        assert seen == "of the host\n"
    assert len(crowd.terminals()) == 1


def test_pexpect_and_expect_twice(crowd: Crowd, login: list[str]) -> None:
    for _ in range(2):
        run(crowd, ["/usr/bin/python3", "-c", PEXPECT, *login])
        run(crowd, ["expect", "-f", "-", *login], EXPECT)
