"""Tells the daemon's log about an error that nobody foresaw and that must not end the daemon."""

import logging
import traceback

from uptui.text import clean

_log = logging.getLogger(__name__)


def report_unforeseen(where: str, error: BaseException) -> None:
    """Write the traceback, line by line and harmless; it has no values of variables."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    told = "\n".join(" " * (len(line) - len(line.lstrip(" "))) + clean(line) for line in lines)
    _log.error("unforeseen in %s:\n%s", where, told)
