"""OpenSSH's SFTP extensions (PROTOCOL, section 4) and the changes behind SETSTAT."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from uptui.core.roles import Capability
from uptui.host.sshd.files import codec, copying, listing
from uptui.host.sshd.files.codec import Attrs, Kind, Reader, Status
from uptui.host.sshd.files.handles import MAX_HANDLES, most_descriptors
from uptui.host.sshd.files.replies import Reply
from uptui.host.sshd.files.transfers import printable

if TYPE_CHECKING:
    from uptui.host.sshd.files.handlers import Files
    from uptui.host.sshd.files.rooted_fs import Place

OFFERED: Final[list[tuple[bytes, bytes]]] = [
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"hardlink@openssh.com", b"1"),
    (b"fsync@openssh.com", b"1"),
    (b"lsetstat@openssh.com", b"1"),
    (b"limits@openssh.com", b"1"),
    (b"expand-path@openssh.com", b"1"),
    (b"copy-data", b"1"),
    (b"home-directory", b"1"),
    (b"users-groups-by-id@openssh.com", b"1"),
]
MAX_IDS: Final = 4096
"""Users and groups that one request may ask for."""


def entry(name: bytes, st: os.stat_result, now: float) -> tuple[bytes, bytes, bytes]:
    """One directory entry for SSH_FXP_NAME."""
    return name, listing.long_name(name, st, now), codec.attrs(st)


def change(place: "Place", wanted: Attrs) -> None:
    """SETSTAT: every attribute is tried, the last failure is raised (as in sftp-server)."""
    steps: list[Callable[[], None]] = []
    name, fd, follow = place.name, place.fd, place.follow
    if wanted.size is not None:
        size = wanted.size
        steps.append(lambda: _truncate(place, size))
    if wanted.permissions is not None:
        mode = wanted.permissions & 0o7777
        steps.append(lambda: _chmod(place, mode))
    if wanted.times is not None:
        times = wanted.times
        steps.append(lambda: os.utime(name, times, dir_fd=fd, follow_symlinks=follow))
    if wanted.owner is not None:
        user, group = wanted.owner
        steps.append(lambda: os.chown(name, user, group, dir_fd=fd, follow_symlinks=follow))
    _all(steps)


def change_open(fd: int, wanted: Attrs) -> None:
    """FSETSTAT."""
    steps: list[Callable[[], None]] = []
    if wanted.size is not None:
        size = wanted.size
        steps.append(lambda: os.ftruncate(fd, size))
    if wanted.permissions is not None:
        mode = wanted.permissions & 0o7777
        steps.append(lambda: os.fchmod(fd, mode))
    if wanted.times is not None:
        times = wanted.times
        steps.append(lambda: os.utime(fd, times))
    if wanted.owner is not None:
        user, group = wanted.owner
        steps.append(lambda: os.fchown(fd, user, group))
    _all(steps)


def _all(steps: list[Callable[[], None]]) -> None:
    failed: OSError | OverflowError | None = None
    for step in steps:
        try:
            step()
        except (OSError, OverflowError) as error:  # the latter: more than the system can say
            failed = error
    if failed is not None:
        raise failed


def _truncate(place: "Place", size: int) -> None:
    if place.follow:
        os.truncate(place.name, size)
        return
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(place.name, flags, dir_fd=place.fd)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _chmod(place: "Place", mode: int) -> None:
    """Change the mode of what the name is, never of what a link there points to (unless asked)."""
    if place.follow:
        os.chmod(place.name, mode)
        return
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(place.name, flags, dir_fd=place.fd)
    try:
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _posix_rename(files: "Files", request: int, reader: Reader) -> bytes:
    old, new = reader.path(), reader.path()
    files.need(Capability.WRITE)
    with files.tree.at(old, follow=False) as a, files.tree.at(new, follow=False) as b:
        os.replace(a.name, b.name, src_dir_fd=a.fd, dst_dir_fd=b.fd)
        files.changed("renamed", a, printable(b.real))
    return codec.status_packet(request, Status.OK)


def _statvfs(files: "Files", request: int, reader: Reader) -> bytes:
    path = reader.path()
    files.need_any()
    with files.tree.at(path) as place:
        if place.fd is None:
            st = os.statvfs(place.name)
        else:
            fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
            try:
                st = os.statvfs(fd)
            finally:
                os.close(fd)
    return codec.packet(Kind.EXTENDED_REPLY, request, codec.statvfs(st))


def _fstatvfs(files: "Files", request: int, reader: Reader) -> bytes:
    files.need_any()
    st = os.fstatvfs(files.file(reader.string()).fd)
    return codec.packet(Kind.EXTENDED_REPLY, request, codec.statvfs(st))


def _hardlink(files: "Files", request: int, reader: Reader) -> bytes:
    old, new = reader.path(), reader.path()
    files.need(Capability.WRITE)
    with files.tree.at(old, follow=False) as a, files.tree.at(new, follow=False) as b:
        os.link(a.name, b.name, src_dir_fd=a.fd, dst_dir_fd=b.fd, follow_symlinks=False)
        files.changed("linked", b, printable(a.real))
    return codec.status_packet(request, Status.OK)


def _fsync(files: "Files", request: int, reader: Reader) -> bytes:
    handle = reader.string()
    files.need(Capability.WRITE)
    opened = files.handles.file(handle)
    if opened is None:
        return codec.status_packet(request, Status.NO_SUCH_FILE)
    try:
        os.fsync(opened.fd)
    except OSError as error:
        opened.failed(error)
        raise
    return codec.status_packet(request, Status.OK)


def _lsetstat(files: "Files", request: int, reader: Reader) -> bytes:
    path, wanted = reader.path(), reader.attrs()
    files.need(Capability.WRITE)
    if wanted.size is not None:
        return codec.status_packet(request, Status.BAD_MESSAGE)
    with files.tree.at(path, follow=False) as place:
        place.follow = False
        change(place, wanted)
        files.attributes_changed(place.real, wanted)
    return codec.status_packet(request, Status.OK)


def _limits(files: "Files", request: int, reader: Reader) -> bytes:
    del files, reader
    handles = min(MAX_HANDLES, most_descriptors())
    return codec.packet(Kind.EXTENDED_REPLY, request, codec.limits(handles))


def _expand_path(files: "Files", request: int, reader: Reader) -> bytes:
    path = reader.path()
    files.need_any()
    return files.path_reply(request, files.tree.real(files.tree.expand(path)))


def _home_directory(files: "Files", request: int, reader: Reader) -> bytes:
    user = reader.path()
    files.need_any()
    try:
        return files.path_reply(request, files.tree.expand(b"~" + user))
    except FileNotFoundError:
        return codec.status_packet(request, Status.FAILURE)


def _users_groups(files: "Files", request: int, reader: Reader) -> bytes:
    files.need_any()
    reply = b""
    for lookup in (listing.user_name, listing.group_name):
        packed = reader.view()
        if len(packed) % 4 or len(packed) > 4 * MAX_IDS:
            return codec.status_packet(request, Status.BAD_MESSAGE)
        ids = Reader(packed)
        found = [codec.string(lookup(ids.u32())) for _ in range(len(packed) // 4)]
        reply += codec.string(b"".join(found))
    return codec.packet(Kind.EXTENDED_REPLY, request, reply)


HANDLERS: Final[dict[bytes, Callable[["Files", int, Reader], Reply]]] = {
    b"posix-rename@openssh.com": _posix_rename,
    b"statvfs@openssh.com": _statvfs,
    b"fstatvfs@openssh.com": _fstatvfs,
    b"hardlink@openssh.com": _hardlink,
    b"fsync@openssh.com": _fsync,
    b"lsetstat@openssh.com": _lsetstat,
    b"limits@openssh.com": _limits,
    b"expand-path@openssh.com": _expand_path,
    b"copy-data": copying.copy_data,
    b"home-directory": _home_directory,
    b"users-groups-by-id@openssh.com": _users_groups,
}
