"""`ls -l` lines, as SFTP version 3 sends one with each directory entry."""

import grp
import os
import pwd
import stat
import time
from functools import lru_cache
from typing import Final

_RECENT: Final = 365 * 86400 // 2
"""Younger files show the time of day, older ones the year (as ls does)."""
_CACHED_NAMES: Final = 1024


@lru_cache(_CACHED_NAMES)
def user_name(uid: int) -> bytes:
    """Login name, or empty when there is none."""
    try:
        return os.fsencode(pwd.getpwuid(uid).pw_name)
    except (KeyError, OverflowError):
        return b""


@lru_cache(_CACHED_NAMES)
def group_name(gid: int) -> bytes:
    """Group name, or empty when there is none."""
    try:
        return os.fsencode(grp.getgrgid(gid).gr_name)
    except (KeyError, OverflowError):
        return b""


def long_name(name: bytes, st: os.stat_result, now: float) -> bytes:
    """One line like `-rw-r--r--    1 root     root         1234 Jan  1 12:00 name`."""
    recent = now - _RECENT < st.st_mtime <= now
    form = "%b %e %H:%M" if recent else "%b %e  %Y"
    try:
        when = time.strftime(form, time.localtime(st.st_mtime)).encode()
    except (OverflowError, ValueError):
        when = str(int(st.st_mtime)).encode()
    user = user_name(st.st_uid) or str(st.st_uid).encode()
    group = group_name(st.st_gid) or str(st.st_gid).encode()
    mode = stat.filemode(st.st_mode).encode()
    head = b"%s  %3u %-8s %-8s %8u %s " % (mode, st.st_nlink, user, group, st.st_size, when)
    return head + name
