"""Where a client's path leads: resolves names against the working directory and inside a root.

Without a root, paths go to the kernel as they are. With one, or with a guard over single places,
each component is opened relative to the directory before it without following symlinks, links are
resolved by hand, and the last step is done relative to an open directory: no swap of a directory
for a symlink can lead outside.
"""

import errno
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from uptui.host.sshd.forwarding.guard import Guard

MAX_LINKS: Final = 40
"""Symlinks followed in one path, as in Linux."""


def _unguarded() -> None:
    return None


def _denied(path: bytes) -> PermissionError:
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


@dataclass(slots=True)
class Place:
    """A name relative to an open directory, for the `dir_fd` calls; closes what it opened."""

    name: bytes
    fd: int | None = None
    follow: bool = True
    owned: tuple[int, ...] = ()
    real: bytes = b""
    """Absolute path in words, for records."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in self.owned:
            os.close(fd)


class RootedFs:
    """The files that one client sees."""

    def __init__(
        self,
        cwd: str,
        home: str,
        root: str | None = None,
        guard: Callable[[], Guard | None] = _unguarded,
    ) -> None:
        """`guard` is asked at each path for who keeps some places out of it."""
        self.root = root
        self._guard = guard
        self._asked_cwd = cwd
        self._asked_home = home
        self._home = os.fsencode(home)
        self._cwd = os.fsencode(cwd)
        self._root = b"/"
        self._roots: tuple[bytes, ...] = (b"/",)
        if root is not None:
            given = os.path.normpath(os.fsencode(os.path.expanduser(root)))
            self._root = os.path.realpath(given)
            self._roots = (self._root, given)
            if not self._inside(os.path.realpath(self._cwd)):
                self._cwd = self._root

    def within(self, root: str | None) -> "RootedFs":
        """The same client's tree under another root."""
        return RootedFs(self._asked_cwd, self._asked_home, root, self._guard)

    def _inside(self, path: bytes) -> bool:
        return any(path == r or path.startswith(r.rstrip(b"/") + b"/") for r in self._roots)

    def absolute(self, path: bytes) -> bytes:
        """The path from the root of the file system, not normalised."""
        return path if path.startswith(b"/") else os.path.join(self._cwd, path)

    def expand(self, path: bytes) -> bytes:
        """Replace a leading `~` or `~user`; FileNotFoundError for an unknown user."""
        if not path.startswith(b"~"):
            return path
        user, _, rest = path[1:].partition(b"/")
        home = self._home
        if user:
            try:
                home = os.fsencode(pwd.getpwnam(os.fsdecode(user)).pw_dir)
            except KeyError:
                raise FileNotFoundError(errno.ENOENT, "no such user", path) from None
        return os.path.join(home, rest) if rest else home

    @property
    def home(self) -> bytes:
        return self._home

    def at(self, path: bytes, *, follow: bool = True) -> Place:
        """Where `path` leads; `follow` says whether a symlink as last component is followed."""
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        full = self.absolute(path)
        guard = self._guard()
        if self.root is None and guard is None:
            return Place(full, follow=follow, real=full)
        return self._walk(full, guard, follow=follow)

    def real(self, path: bytes) -> bytes:
        """The canonical path; its last component need not exist (OpenSSH's sftp_realpath).

        No path at all is the working directory here, and nowhere else.
        """
        path = path or b"."
        if self.root is not None or self._guard() is not None:
            with self.at(path) as place:
                return place.real
        full = self.absolute(path)
        try:
            return os.path.realpath(full, strict=True)
        except FileNotFoundError:
            if os.path.islink(full):
                full = os.path.realpath(full)
            head, tail = os.path.split(full)
            if tail in {b"", b".", b".."}:
                raise
            return os.path.join(os.path.realpath(head, strict=True), tail)

    def _beneath(self, path: bytes) -> list[bytes]:
        """The components of an absolute path after the root."""
        for root in self._roots:
            prefix = root.rstrip(b"/") + b"/"
            if (path + b"/").startswith(prefix):
                return path[len(prefix) :].split(b"/")
        raise _denied(path)

    def _walk(self, path: bytes, guard: Guard | None, *, follow: bool) -> Place:
        walk = _Walk(self._root, path, guard)
        try:
            todo = self._beneath(path)
            while todo:
                name = todo.pop(0)
                if name in {b"", b"."}:
                    continue
                if name == b"..":
                    walk.up()
                    continue
                last = not any(part not in {b"", b"."} for part in todo)
                target = walk.enter(name, last=last, follow=follow)
                if target is None:
                    continue
                if target.startswith(b"/"):
                    walk.restart()
                    todo = self._beneath(target) + todo
                else:
                    todo = target.split(b"/") + todo
        except OSError:
            walk.close()
            raise
        return walk.place()


class _Walk:
    """The open directories from the root to where a walk stands."""

    def __init__(self, root: bytes, asked: bytes, guard: Guard | None) -> None:
        self._guard = guard
        self._root = root
        self._asked = asked
        self._links = 0
        self._names: list[bytes] = []
        self._final: bytes | None = None
        self._fds = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            self._check(os.fstat(self._fds[0]))
        except OSError:
            self.close()
            raise

    def _check(self, found: os.stat_result) -> None:
        if self._guard is not None and self._guard.forbids(found):
            raise _denied(self._asked)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def up(self) -> None:
        if self._final is not None:
            self._final = None
        elif len(self._fds) > 1:
            os.close(self._fds.pop())
            self._names.pop()
        elif self._root != b"/":
            raise _denied(self._asked)

    def restart(self) -> None:
        while len(self._fds) > 1:
            os.close(self._fds.pop())
        self._names.clear()

    def enter(self, name: bytes, *, last: bool, follow: bool) -> bytes | None:
        """Step into `name`; a symlink's target is returned to be walked instead."""
        here = self._fds[-1]
        try:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
        except FileNotFoundError:
            if not last:
                raise
            self._final = name
            return None
        self._check(found)
        if stat.S_ISLNK(found.st_mode) and (follow or not last):
            self._links += 1
            if self._links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._asked)
            return os.readlink(name, dir_fd=here)
        if last:
            self._final = name
            return None
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fds.append(os.open(name, flags, dir_fd=here))
        self._check(os.fstat(self._fds[-1]))
        self._names.append(name)
        return None

    def place(self) -> Place:
        final = self._final if self._final is not None else b"."
        names = [*self._names, *([] if self._final is None else [self._final])]
        real = os.path.join(self._root, *names)
        return Place(final, self._fds[-1], follow=False, owned=tuple(self._fds), real=real)
