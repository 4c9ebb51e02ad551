"""The command line: flags -> settings -> wiring -> exit code.

Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 no daemon is running; 4 a daemon is
running already; 5 the daemon refused, for example because there is no such client; 129 the terminal
is gone; 130 interrupted; 143 told to end.
"""

import errno
import os
import pwd
import sys
from collections.abc import Sequence
from typing import Final, cast

import click

from uptui.errors import (
    AlreadyRunningError,
    ApiError,
    ConfigError,
    EndedError,
    NotRunningError,
    UptuiError,
)
from uptui.runtime import musl

FAILED: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
ALREADY_RUNNING: Final = 4
REFUSED: Final = 5
INTERRUPTED: Final = 130
_CODES: Final[tuple[tuple[type[UptuiError], int], ...]] = (
    (ConfigError, USAGE),
    (NotRunningError, NOT_RUNNING),
    (AlreadyRunningError, ALREADY_RUNNING),
    (ApiError, REFUSED),
)


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; returns the exit code."""
    from uptui.cli.output import tolerate
    from uptui.cli.root import root

    tolerate(sys.stdout, sys.stderr)
    _name_the_nameless()
    try:
        result = root.main(list(arguments), prog_name="uptui", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        code = _told(error, arguments)
        if code is None:
            raise
        return code
    return result if isinstance(result, int) else 0


def _told(error: Exception, arguments: Sequence[str]) -> int | None:
    """Say what was wrong; the exit code, or None where the mistake is our own."""
    if isinstance(error, ExceptionGroup):
        inner = cast("ExceptionGroup[Exception]", error)
        return _told(inner.exceptions[0], arguments)
    if isinstance(error, EndedError):
        _drop_output()
        return error.code
    if isinstance(error, UptuiError):
        print(f"uptui: {error}", file=sys.stderr)
        return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
    if isinstance(error, OSError) and error.errno in {errno.EPIPE, errno.EIO, errno.ENOSPC}:
        _drop_output()
        if error.errno == errno.ENOSPC:
            print(f"uptui: the output cannot be written: {error.strerror}", file=sys.stderr)
        return FAILED
    if isinstance(error, ImportError) and (problem := musl.problem(musl.version())):
        print(f"uptui: {problem}; {musl.ADVICE}", file=sys.stderr)
        return FAILED
    if isinstance(error, UnicodeEncodeError) and any(
        "\udc80" <= c <= "\udcff" for c in "".join(arguments)
    ):
        print("uptui: an argument is not valid UTF-8", file=sys.stderr)
        return USAGE
    return None


def _drop_output() -> None:
    """What is still to be written has nowhere to go, of which Python would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name_the_nameless() -> None:
    """A container may run us under a number that has neither name nor home in the user database,
    for both of which asyncssh asks."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ["LOGNAME"] = os.environ.get("LOGNAME") or str(os.getuid())
        os.environ["HOME"] = os.environ.get("HOME") or "/"
