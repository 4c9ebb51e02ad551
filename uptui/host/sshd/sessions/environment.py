"""What programs of a session find around them: shell, home, directory, variables."""

import fnmatch
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uptui.host.process.spawn import Program
from uptui.host.sshd.settings import SSHSettings

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELLS: Final = ("/bin/bash", "/usr/bin/bash", "/bin/zsh", "/bin/ash", "/bin/sh")
"""Tried in order where no usable shell is configured."""
REFUSING_SHELLS: Final = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown"})
OWN_VARIABLES: Final = (
    "UPTUI_*", "SSH_*", "SSH2_*", "TERM", "TERM_*", "TERMINFO*", "COLORTERM", "COLUMNS", "LINES",
    "NO_COLOR", "TMUX*", "STY", "WINDOW", "DISPLAY", "XAUTHORITY", "WAYLAND_*", "WINDOWID", "PWD",
    "OLDPWD", "SHLVL", "_", "PS1", "PROMPT_COMMAND", "BASH_ENV", "ENV", "NOTIFY_SOCKET", "LISTEN_*",
    "INVOCATION_ID", "JOURNAL_STREAM", "WATCHDOG_*", "PYTHON*", "TEXTUAL*", "GPG_TTY",
    "VSCODE_*", "LD_PRELOAD", "COVERAGE_*", "COV_*", "PYTEST_*",
)  # fmt: skip
"""Variables of the daemon's own run (its secrets, its terminal, its interpreter) that stay here."""


@dataclass(frozen=True)
class UnixAccount:
    """The user that everything runs as."""

    name: str
    home: str
    shell: str


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        return None  # a container run under an arbitrary uid


def usable_shell(shell: str) -> bool:
    """Whether this is the absolute path of a program that lets people in."""
    path = Path(shell)
    return (
        path.is_absolute()
        and path.name not in REFUSING_SHELLS
        and path.is_file()
        and os.access(path, os.X_OK)
    )


def account(settings: SSHSettings, base: Mapping[str, str]) -> UnixAccount:
    """Who we are: from the settings, the environment `base` and the user database."""
    entry = _entry()
    name = entry.pw_name if entry else base.get("USER") or base.get("LOGNAME") or str(os.getuid())
    homes = (base.get("HOME", ""), entry.pw_dir if entry else "", "/")
    home = next(path for path in homes if path.startswith("/") and Path(path).is_dir())
    shells = (settings.shell or "", entry.pw_shell if entry else "", base.get("SHELL", ""), *SHELLS)
    shell = next((path for path in shells if path and usable_shell(path)), SHELLS[-1])
    return UnixAccount(name, home, shell)


def accepted(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a client may set variable `name`; never one that steers the loader or ourselves."""
    if "=" in name or "\0" in name or not name:
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def inherited(base: Mapping[str, str]) -> dict[str, str]:
    """The part of the daemon's environment that sessions share."""
    return {
        name: value
        for name, value in base.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in OWN_VARIABLES)
    }


class Environment:
    """Computed once per daemon; makes the Program of each request."""

    def __init__(self, settings: SSHSettings, base: Mapping[str, str]) -> None:
        self._settings = settings
        self.account = account(settings, base)
        self._shared = inherited(base) | {
            "HOME": self.account.home,
            "USER": self.account.name,
            "LOGNAME": self.account.name,
            "SHELL": self.account.shell,
            "PATH": base.get("PATH") or DEFAULT_PATH,
            **settings.extra_env,
        }

    def variables(self, asked: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
        """Variables of a session: shared ones, what the client may set of `asked`, then `fixed`."""
        patterns = self._settings.accept_env
        wanted = {name: value for name, value in asked.items() if accepted(name, patterns)}
        return self._shared | wanted | dict(fixed)

    def login(self, env: Mapping[str, str]) -> Program:
        """The login shell, told so by the dash before its name."""
        shell = self.account.shell
        return self._program([f"-{Path(shell).name}"], env)

    def command(self, command: str, env: Mapping[str, str]) -> Program:
        """A command for the shell to run, untouched."""
        return self._program([Path(self.account.shell).name, "-c", command], env)

    def _program(self, argv: list[str], env: Mapping[str, str]) -> Program:
        cwd = self._settings.cwd or self.account.home
        return Program(self.account.shell, argv, env, cwd)
