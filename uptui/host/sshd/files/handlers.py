"""What each SFTP request does to the file system; synchronous, raises OSError, knows no channel.

Follows OpenSSH's sftp-server.c in order of operations and in the status of each failure.
"""

import errno
import os
import stat
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from uptui.core.roles import Capability, Role
from uptui.host.sshd.files import codec, extensions
from uptui.host.sshd.files.audit import Audit
from uptui.host.sshd.files.codec import Attrs, Kind, Reader, Status
from uptui.host.sshd.files.handles import Handles, OpenDirectory, OpenFile, OpenHandles
from uptui.host.sshd.files.replies import Reply, Work
from uptui.host.sshd.files.rooted_fs import Place, RootedFs
from uptui.host.sshd.files.transfers import FileAccess, RunningTransfer, printable

ENTRIES_PER_REPLY: Final = 100
"""Directory entries in one SSH_FXP_NAME, as in sftp-server."""
DEFAULT_FILE_MODE: Final = 0o666
DEFAULT_DIRECTORY_MODE: Final = 0o777
PERMISSION_BITS: Final = 0o7777

_NAMING: Final = frozenset({
    Kind.OPENDIR, Kind.STAT, Kind.LSTAT, Kind.SETSTAT, Kind.READLINK, Kind.REMOVE,
    Kind.MKDIR, Kind.RMDIR, Kind.RENAME,
})  # fmt: skip
"""Requests that begin with the path they are about, besides OPEN."""
MAX_REMEMBERED: Final = 1000
"""Directories remembered by one session."""
_READ: Final = Capability.READ  # an enumeration's members take longer to reach
_WRITE: Final = Capability.WRITE
_DRAFT_SYMLINK_CLIENT: Final = "libssh_"
"""Sends SYMLINK as the draft says, unless the server's name tells a version of OpenSSH."""
_LINK_UNSUPPORTED: Final = frozenset({
    errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EPERM, errno.EMLINK,
})  # fmt: skip


class RefusedRequestError(OSError):
    """The role does not allow this request."""

    def __init__(self, capability: Capability) -> None:
        super().__init__(errno.EACCES, f"your role does not allow you to {capability} files here")


def symlink_as_draft(client: str) -> bool:
    """Whether this client sends the link before its target, as only the draft has it."""
    return _DRAFT_SYMLINK_CLIENT in client


class Files:
    """One session's requests; each handler takes the request id and payload and returns a reply."""

    def __init__(
        self, access: FileAccess, tree: RootedFs, held: OpenHandles, *, draft_symlinks: bool = False
    ) -> None:
        self.access = access
        self.tree = tree
        self.handles = Handles(held)
        self.audit = Audit(access)
        self._draft_symlinks = draft_symlinks
        self._always_waits: set[str] = set()
        """Directories on file systems that cannot say whether a read would block."""
        self._role = access.role
        """That of the request being served."""
        self._handlers: dict[int, Callable[[int, Reader], Reply]] = {
            Kind.OPEN: self._open,
            Kind.CLOSE: self._close,
            Kind.WRITE: self._write,
            Kind.LSTAT: self._lstat,
            Kind.FSTAT: self._fstat,
            Kind.SETSTAT: self._setstat,
            Kind.FSETSTAT: self._fsetstat,
            Kind.OPENDIR: self._opendir,
            Kind.READDIR: self._readdir,
            Kind.REMOVE: self._remove,
            Kind.MKDIR: self._mkdir,
            Kind.RMDIR: self._rmdir,
            Kind.REALPATH: self._realpath,
            Kind.STAT: self._stat,
            Kind.RENAME: self._rename,
            Kind.READLINK: self._readlink,
            Kind.SYMLINK: self._symlink,
            Kind.EXTENDED: self._extended,
        }

    def handle(self, kind: int, request: int, reader: Reader) -> Reply:
        """The reply to any request but READ; failures become status packets."""
        handler = self._handlers.get(kind)
        if handler is None:
            return codec.status_packet(request, Status.OP_UNSUPPORTED)
        start = reader.at
        try:
            role = self.access.role
            if role is not self._role:
                self._follow(role)
            return handler(request, reader)
        except OSError as error:
            if kind == Kind.OPEN:
                self.audit.failed(printable(reader.string_at(start)), error)
            elif kind in _NAMING:
                self.audit.refused(printable(reader.string_at(start)), error)
            return failure(request, error)
        except (ValueError, OverflowError):
            return codec.status_packet(request, Status.BAD_MESSAGE)

    def go_on(self, request: int, work: Work) -> Reply:
        """The next piece of what a handler has left to be done, under the role of this moment."""
        try:
            role = self.access.role
            if role is not self._role:
                self._follow(role)
            return work()
        except OSError as error:
            return failure(request, error)
        except (ValueError, OverflowError):
            return codec.status_packet(request, Status.BAD_MESSAGE)

    def need(self, capability: Capability) -> None:
        """Raise unless the grant allows it, as it was when the request came."""
        if capability not in self._role.capabilities:
            raise RefusedRequestError(capability)

    def need_any(self) -> None:
        """Raise unless the client may at least look at names."""
        if _WRITE not in self._role.capabilities:
            self.need(_READ)

    def _follow(self, role: Role) -> None:
        """Another role counts from now on. One with another root sees another tree; handles into
        the old one are closed."""
        if role.files_root != self.tree.root:
            self.drop("access has changed")
            self.tree = self.tree.within(role.files_root)
        self._role = role

    def changed(self, what: str, place: Place, target: str = "") -> None:
        """Something was done to a name (transfers.Change)."""
        self.audit.changed(what, printable(place.real), target)

    def attributes_changed(self, path: bytes | str, wanted: Attrs) -> None:
        """The same of attributes; times alone are not worth a line."""
        words: list[str] = []
        if wanted.size is not None:
            words.append(f"set size {wanted.size} of")
        if wanted.permissions is not None:
            words.append(f"set mode {wanted.permissions & PERMISSION_BITS:04o} of")
        if wanted.owner is not None:
            words.append("set owner {}:{} of".format(*wanted.owner))
        for what in words:
            self.audit.changed(what, printable(path))

    def drop(self, why: str) -> None:
        """Close every handle; transfers under way end with `why`."""
        for opened in self.handles.drain():
            self._account(opened, why)

    def readable(self, handle: bytes) -> OpenFile:
        """The file to read from, after checking the role."""
        role = self.access.role
        if role is not self._role:
            self._follow(role)
        self.need(_READ)
        return self.file(handle)

    def always_waits(self, opened: OpenFile) -> None:
        """The file system cannot say whether a read would block: neighbours need not be tried."""
        opened.nowait = False
        if len(self._always_waits) < MAX_REMEMBERED:
            self._always_waits.add(_directory(opened.path))

    def count_read(self, opened: OpenFile, size: int) -> None:
        if opened.transfer is None:
            opened.transfer = RunningTransfer(self.access, opened.path, "download")
        opened.transfer.count(size)

    def file(self, handle: bytes) -> OpenFile:
        """The file behind a handle. Raises OSError when there is none."""
        opened = self.handles.file(handle)
        if opened is None:
            raise OSError(0, "not an open file handle")
        return opened

    def _open(self, request: int, reader: Reader) -> bytes:
        path, pflags, wanted = reader.path(), reader.u32(), reader.attrs()
        flags = _open_flags(pflags)
        changes = flags & os.O_ACCMODE != os.O_RDONLY or flags & (os.O_CREAT | os.O_TRUNC)
        self.need(_WRITE if changes else _READ)
        if flags & os.O_ACCMODE == os.O_RDWR:
            self.need(_READ)
        self.handles.need_room(OpenFile.descriptors)
        mode = DEFAULT_FILE_MODE if wanted.permissions is None else wanted.permissions
        with self.tree.at(path) as place:
            nofollow = 0 if place.follow else os.O_NOFOLLOW
            flags |= nofollow | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            fd = os.open(place.name, flags, mode & PERMISSION_BITS, dir_fd=place.fd)
            name = printable(place.real)
        opened = OpenFile(fd, name, flags, nowait=_directory(name) not in self._always_waits)
        if changes:
            opened.transfer = RunningTransfer(self.access, opened.path, "upload")
        return codec.packet(Kind.HANDLE, request, codec.string(self.handles.add(opened)))

    def _close(self, request: int, reader: Reader) -> bytes:
        opened = self.handles.pop(reader.string())
        if opened is None:
            return codec.status_packet(request, Status.NO_SUCH_FILE)
        problem = ""
        try:
            opened.close()
        except OSError as error:
            problem = error.strerror or "close failed"
            return failure(request, error)
        finally:
            if isinstance(opened, OpenFile):
                self._account(opened, problem)
        return codec.status_packet(request, Status.OK)

    def _account(self, opened: OpenFile, problem: str) -> None:
        if opened.transfer is not None:
            self.audit.ended(opened.transfer, opened.problem or problem)
            opened.transfer = None

    def _write(self, request: int, reader: Reader) -> bytes:
        handle, offset, data = reader.string(), reader.u64(), reader.view()
        self.need(_WRITE)
        opened = self.file(handle)
        size = len(data)
        try:
            opened.write(data, offset)
        except OSError as error:
            opened.failed(error)
            raise
        if opened.transfer is not None:
            opened.transfer.count(size)
            self.audit.moving(opened.transfer)
        return codec.status_packet(request, Status.OK)

    def _stat_of(self, path: bytes, *, follow: bool) -> os.stat_result:
        self.need_any()
        with self.tree.at(path, follow=follow) as place:
            return os.stat(place.name, dir_fd=place.fd, follow_symlinks=place.follow)

    def _stat(self, request: int, reader: Reader) -> bytes:
        st = self._stat_of(reader.path(), follow=True)
        return codec.packet(Kind.ATTRS, request, codec.attrs(st))

    def _lstat(self, request: int, reader: Reader) -> bytes:
        st = self._stat_of(reader.path(), follow=False)
        return codec.packet(Kind.ATTRS, request, codec.attrs(st))

    def _fstat(self, request: int, reader: Reader) -> bytes:
        self.need_any()
        st = os.fstat(self.file(reader.string()).fd)
        return codec.packet(Kind.ATTRS, request, codec.attrs(st))

    def _setstat(self, request: int, reader: Reader) -> bytes:
        path, wanted = reader.path(), reader.attrs()
        self.need(_WRITE)
        with self.tree.at(path) as place:
            extensions.change(place, wanted)
            self.attributes_changed(place.real, wanted)
        return codec.status_packet(request, Status.OK)

    def _fsetstat(self, request: int, reader: Reader) -> bytes:
        handle, wanted = reader.string(), reader.attrs()
        self.need(_WRITE)
        opened = self.file(handle)
        extensions.change_open(opened.fd, wanted)
        if opened.transfer is None:
            self.attributes_changed(opened.path, wanted)
        return codec.status_packet(request, Status.OK)

    def _opendir(self, request: int, reader: Reader) -> bytes:
        path = reader.path()
        self.need(_READ)
        self.handles.need_room(OpenDirectory.descriptors)
        with self.tree.at(path) as place:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
            nofollow = 0 if place.follow else os.O_NOFOLLOW
            fd = os.open(place.name, flags | nofollow, dir_fd=place.fd)
        handle = self.handles.add(OpenDirectory(fd))
        return codec.packet(Kind.HANDLE, request, codec.string(handle))

    def _readdir(self, request: int, reader: Reader) -> bytes:
        self.need(_READ)
        opened = self.handles.directory(reader.string())
        if opened is None:
            raise OSError(0, "not an open directory handle")
        entries: list[tuple[bytes, bytes, bytes]] = []
        now = time.time()
        size = 0
        while len(entries) < ENTRIES_PER_REPLY and size < codec.MAX_READ // 2:
            name = None if opened.over else opened.name()
            if name is None:
                break
            try:
                st = os.stat(name, dir_fd=opened.fd, follow_symlinks=False)
            except OSError:
                continue
            entry = extensions.entry(name, st, now)
            size += len(entry[0]) + len(entry[1]) + len(entry[2])
            entries.append(entry)
        if not entries:
            return codec.status_packet(request, Status.EOF)
        return codec.packet(Kind.NAME, request, codec.names(entries))

    def _remove(self, request: int, reader: Reader) -> bytes:
        path = reader.path()
        self.need(_WRITE)
        with self.tree.at(path, follow=False) as place:
            os.unlink(place.name, dir_fd=place.fd)
            self.changed("removed", place)
        return codec.status_packet(request, Status.OK)

    def _mkdir(self, request: int, reader: Reader) -> bytes:
        path, wanted = reader.path(), reader.attrs()
        self.need(_WRITE)
        mode = DEFAULT_DIRECTORY_MODE if wanted.permissions is None else wanted.permissions
        with self.tree.at(path, follow=False) as place:
            os.mkdir(place.name, mode & PERMISSION_BITS, dir_fd=place.fd)
            self.changed("made directory", place)
        return codec.status_packet(request, Status.OK)

    def _rmdir(self, request: int, reader: Reader) -> bytes:
        path = reader.path()
        self.need(_WRITE)
        with self.tree.at(path, follow=False) as place:
            os.rmdir(place.name, dir_fd=place.fd)
            self.changed("removed directory", place)
        return codec.status_packet(request, Status.OK)

    def _realpath(self, request: int, reader: Reader) -> bytes:
        self.need_any()
        return self.path_reply(request, self.tree.real(reader.path()))

    def path_reply(self, request: int, path: bytes) -> bytes:
        """SSH_FXP_NAME with one path and no attributes."""
        return codec.packet(Kind.NAME, request, codec.names([(path, path, codec.NO_ATTRS)]))

    def _rename(self, request: int, reader: Reader) -> bytes:
        old, new = reader.path(), reader.path()
        self.need(_WRITE)
        with self.tree.at(old, follow=False) as a, self.tree.at(new, follow=False) as b:
            st = os.stat(a.name, dir_fd=a.fd, follow_symlinks=False)
            if stat.S_ISREG(st.st_mode):
                _rename_file(a, b)
            elif _exists(b):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            else:
                os.rename(a.name, b.name, src_dir_fd=a.fd, dst_dir_fd=b.fd)
            self.changed("renamed", a, printable(b.real))
        return codec.status_packet(request, Status.OK)

    def _readlink(self, request: int, reader: Reader) -> bytes:
        path = reader.path()
        self.need_any()
        with self.tree.at(path, follow=False) as place:
            target = os.readlink(place.name, dir_fd=place.fd)
        return self.path_reply(request, target)

    def _symlink(self, request: int, reader: Reader) -> bytes:
        target, link = reader.path(), reader.path()
        if self._draft_symlinks:
            target, link = link, target
        self.need(_WRITE)
        with self.tree.at(link, follow=False) as place:
            os.symlink(target, place.name, dir_fd=place.fd)
            self.changed("linked", place, printable(target))
        return codec.status_packet(request, Status.OK)

    def _extended(self, request: int, reader: Reader) -> Reply:
        handler = extensions.HANDLERS.get(reader.string())
        if handler is None:
            return codec.status_packet(request, Status.OP_UNSUPPORTED)
        return handler(self, request, reader)


def failure(request: int, error: OSError) -> bytes:
    """The status packet for a failed call; errors without their own code say more in words."""
    status = codec.status_of(error)
    says_more = status is Status.FAILURE or isinstance(error, RefusedRequestError)
    return codec.status_packet(request, status, (error.strerror or "") if says_more else "")


@lru_cache(maxsize=64)
def _open_flags(pflags: int) -> int:
    """SSH_FXF_* as O_*; EINVAL when neither reading nor writing is asked for."""
    flag = codec.Flag
    if pflags & flag.READ and pflags & flag.WRITE:
        flags = os.O_RDWR
    elif pflags & flag.WRITE:
        flags = os.O_WRONLY
    else:
        flags = os.O_RDONLY
    for bit, value in (
        (flag.APPEND, os.O_APPEND),
        (flag.CREAT, os.O_CREAT),
        (flag.TRUNC, os.O_TRUNC),
        (flag.EXCL, os.O_EXCL),
    ):
        if pflags & bit:
            flags |= value
    return flags


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _exists(place: Place) -> bool:
    try:
        os.stat(place.name, dir_fd=place.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _rename_file(old: Place, new: Place) -> None:
    """Rename without replacing: link, then unlink; where links are impossible, look first."""
    try:
        os.link(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _LINK_UNSUPPORTED:
            raise
        if _exists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd)
        return
    os.unlink(old.name, dir_fd=old.fd)
