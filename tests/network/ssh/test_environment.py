"""What programs find around them."""

import os
import pwd
from pathlib import Path

import pytest

from tests.network.ssh.conftest import Served, Server
from uptui.host.sshd.sessions.environment import account, inherited
from uptui.host.sshd.settings import SSHSettings

ALL_STANDARD = 0x7FFFFFFF
"""Signals 1 to 31; the two after them belong to the C library."""


def variables(out: bytes) -> dict[str, str]:
    pairs = (item.split("=", 1) for item in out.decode().split("\0") if item)
    return {name: value for name, value in pairs}  # noqa: C416 - typed


async def environment(served: Served, *options: str) -> dict[str, str]:
    result = await served.ssh(*options, "--", "env -0")
    assert result.status == 0
    return variables(result.out)


async def test_the_usual_variables(served: Served) -> None:
    found = await environment(served)
    me = pwd.getpwuid(os.getuid())
    assert found["HOME"] == str(served.directory)
    assert found["USER"] == found["LOGNAME"] == me.pw_name
    assert found["SHELL"] == me.pw_shell
    assert found["PATH"] == os.environ["PATH"]
    client = found["SSH_CONNECTION"].split()
    assert (client[0], client[2], client[3]) == ("127.0.0.1", "127.0.0.1", str(served.port))
    assert found["SSH_CLIENT"] == f"127.0.0.1 {client[1]} {served.port}"
    assert "SSH_TTY" not in found
    assert "TERM" not in found


async def test_locale_and_listed_variables_are_accepted_others_not(served: Served) -> None:
    sent = ("LANG=de_DE.UTF-8", "LC_TIME=C", "COLORTERM=truecolor", "LD_PRELOAD=/x", "FOO=1")
    found = await environment(served, f"-oSetEnv={' '.join(sent)}")
    assert (found["LANG"], found["LC_TIME"], found["COLORTERM"]) == (
        "de_DE.UTF-8",
        "C",
        "truecolor",
    )
    assert not {"LD_PRELOAD", "FOO"} & found.keys()


async def test_more_variables_can_be_allowed_and_set(server: Server) -> None:
    settings = SSHSettings(accept_env=("FOO*",), extra_env={"TEAM": "blue"})
    found = await environment(await server.serve(settings), "-oSetEnv=FOO_BAR=1 LANG=C")
    assert (found["FOO_BAR"], found["TEAM"]) == ("1", "blue")
    assert "LANG" not in found


async def test_the_daemons_own_secrets_and_terminal_stay_out(server: Server) -> None:
    base = {
        "UPTUI_IDENTITY": "secret", "UPTUI_RELAY_TOKEN": "secret", "SSH_AUTH_SOCK": "/other",
        "TMUX": "x", "TERM": "x", "DISPLAY": ":7", "NOTIFY_SOCKET": "/x", "CUDA_HOME": "/cuda",
    }  # fmt: skip
    found = await environment(await server.serve(base_env=base))
    assert found["CUDA_HOME"] == "/cuda"
    assert not (base.keys() - {"CUDA_HOME"}) & found.keys()
    assert "secret" not in found.values()


async def test_directory_and_umask(server: Server, tmp_path: Path) -> None:
    assert (await (await server.serve()).ssh("pwd; umask")).out == f"{tmp_path}\n0022\n".encode()
    inner = tmp_path / "inner"
    inner.mkdir()
    served = await server.serve(SSHSettings(cwd=str(inner)))
    assert (await served.ssh("pwd; umask")).out == f"{inner}\n0022\n".encode()
    served = await server.serve(SSHSettings(cwd="/nonexistent/place"))
    assert (await served.ssh("pwd")).out == b"/\n"


async def test_no_descriptor_of_the_daemon_leaks(server: Server) -> None:
    inherited_by_us = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited_by_us, True)
    served = await server.serve()
    result = await served.ssh("ls -l /proc/self/fd")
    numbers = {line.split()[8] for line in result.out.decode().splitlines()[1:]}
    assert numbers == {"0", "1", "2", "3"}  # 3 is the directory being listed
    os.close(inherited_by_us)


async def test_signals_are_as_a_login_would_have_them(served: Served) -> None:
    result = await served.ssh("grep -E 'Sig(Ign|Blk)' /proc/self/status")
    for line in result.out.decode().splitlines():
        assert int(line.split()[1], 16) & ALL_STANDARD == 0


def test_an_uid_without_entry_gets_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    found = account(SSHSettings(), {"HOME": str(tmp_path), "SHELL": "/bin/sh", "USER": "dev"})
    assert (found.name, found.home, found.shell) == ("dev", str(tmp_path), "/bin/sh")
    bare = account(SSHSettings(), {})
    assert (bare.name, bare.home) == (str(os.getuid()), "/")
    assert os.access(bare.shell, os.X_OK)


def test_shells_that_refuse_are_passed_over() -> None:
    found = account(SSHSettings(shell="/usr/sbin/nologin"), {"HOME": "/"})
    assert not found.shell.endswith("nologin")


def test_path_is_inherited_and_python_settings_are_not() -> None:
    assert inherited({"PATH": "/x", "PYTHONPATH": "/y", "A": "b"}) == {"PATH": "/x", "A": "b"}
