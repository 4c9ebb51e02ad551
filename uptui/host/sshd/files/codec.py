"""The bytes of SFTP version 3 (draft-ietf-secsh-filexfer-02): packets, attributes, status codes.

Knows no file system; everything that reads raises WireError on a short or oversized packet.
"""

import errno
import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from uptui.errors import ProtocolError

VERSION: Final = 3
MAX_PACKET: Final = 256 * 1024
"""Longest packet taken or sent, as in OpenSSH's sftp-server."""
MAX_READ: Final = MAX_PACKET - 1024
MAX_WRITE: Final = MAX_PACKET - 1024
LENGTH_SIZE: Final = 4

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_OFFSET_AND_SIZE = struct.Struct(">QI")
_HEAD = struct.Struct(">IBI")
_KIND = struct.Struct(">BI")
KIND_SIZE: Final = _KIND.size
"""Bytes of a packet without its length before what depends on the kind."""
_DATA = struct.Struct(">IBII")
DATA_HEAD: Final = _DATA.size
"""Bytes before the file content of a reply to READ."""


class WireError(ProtocolError):
    """The client sent a packet that is not SFTP."""


class Kind(IntEnum):
    """SSH_FXP_*: what a packet is."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """SSH_FX_*: how a request ended."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


class Flag(IntEnum):
    """SSH_FXF_*: how a file is opened."""

    READ = 1
    WRITE = 2
    APPEND = 4
    CREAT = 8
    TRUNC = 16
    EXCL = 32


class AttrFlag(IntEnum):
    """SSH_FILEXFER_ATTR_*: which attributes follow."""

    SIZE = 1
    UIDGID = 2
    PERMISSIONS = 4
    ACMODTIME = 8
    EXTENDED = 0x80000000


STATUS_TEXT: Final = {
    Status.OK: b"Success",
    Status.EOF: b"End of file",
    Status.NO_SUCH_FILE: b"No such file",
    Status.PERMISSION_DENIED: b"Permission denied",
    Status.FAILURE: b"Failure",
    Status.BAD_MESSAGE: b"Bad message",
    Status.OP_UNSUPPORTED: b"Operation unsupported",
}

_BY_ERRNO: Final = {
    errno.ENOENT: Status.NO_SUCH_FILE,
    errno.ENOTDIR: Status.NO_SUCH_FILE,
    errno.EBADF: Status.NO_SUCH_FILE,
    errno.ELOOP: Status.NO_SUCH_FILE,
    errno.EPERM: Status.PERMISSION_DENIED,
    errno.EACCES: Status.PERMISSION_DENIED,
    errno.EFAULT: Status.PERMISSION_DENIED,
    errno.ENAMETOOLONG: Status.BAD_MESSAGE,
    errno.EINVAL: Status.BAD_MESSAGE,
    errno.ENOSYS: Status.OP_UNSUPPORTED,
}


def status_of(error: OSError) -> Status:
    """The code that OpenSSH's sftp-server gives for this errno (errno_to_portable)."""
    return _BY_ERRNO.get(error.errno or 0, Status.FAILURE)


_SIZE, _UIDGID, _PERMISSIONS, _ACMODTIME, _EXTENDED = map(int, AttrFlag)
"""The same as plain numbers: an enumeration's members take longer to reach."""


class Attrs(NamedTuple):
    """File attributes of a request; None where the client left one out."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    permissions: int | None = None
    times: tuple[int, int] | None = None
    """Access and modification time, Unix seconds."""


_NO_ATTRS: Final = Attrs()


class Reader:
    """A cursor over one packet's payload."""

    __slots__ = ("_end", "_view", "at")

    def __init__(self, view: memoryview, at: int = 0) -> None:
        """Reads `view` from `at` on."""
        self._view = view
        self._end = len(view)
        self.at = at
        """Where the cursor stands."""

    def _short(self, end: int) -> WireError:
        return WireError(f"SFTP packet ends {end - self._end} bytes early")

    def u32(self) -> int:
        at = self.at
        self.at = end = at + 4
        if end > self._end:
            raise self._short(end)
        return _U32.unpack_from(self._view, at)[0]

    def u64(self) -> int:
        at = self.at
        self.at = end = at + 8
        if end > self._end:
            raise self._short(end)
        return _U64.unpack_from(self._view, at)[0]

    def offset_and_size(self) -> tuple[int, int]:
        """What a READ asks for."""
        at = self.at
        self.at = end = at + 12
        if end > self._end:
            raise self._short(end)
        return _OFFSET_AND_SIZE.unpack_from(self._view, at)

    def string(self) -> bytes:
        return self.view().tobytes()

    def string_at(self, at: int) -> bytes:
        """The string that begins there; the cursor stays."""
        return Reader(self._view, at).string()

    def rest(self) -> bytes:
        """All that has not been read."""
        return bytes(self._view[self.at :])

    def view(self) -> memoryview:
        """A string without copying it."""
        at = self.at + LENGTH_SIZE
        if at > self._end:
            raise self._short(at)
        self.at = end = at + _U32.unpack_from(self._view, at - LENGTH_SIZE)[0]
        if end > self._end:
            raise self._short(end)
        return self._view[at:end]

    def path(self) -> bytes:
        """A string used as a path. Raises ValueError for one that cannot name a file."""
        path = self.string()
        if b"\0" in path:
            raise ValueError("a path contains a NUL byte")
        return path

    def attrs(self) -> Attrs:
        flags = self.u32()
        if not flags:
            return _NO_ATTRS
        size = self.u64() if flags & _SIZE else None
        owner = (self.u32(), self.u32()) if flags & _UIDGID else None
        permissions = self.u32() if flags & _PERMISSIONS else None
        times = (self.u32(), self.u32()) if flags & _ACMODTIME else None
        if flags & _EXTENDED:
            for _ in range(self.u32()):
                self.view()
                self.view()
        return Attrs(size, owner, permissions, times)


def whole(data: bytes) -> tuple[int, int] | None:
    """How it begins (as `kind_and_request`), if `data` is exactly one packet with its length."""
    if len(data) < _HEAD.size:
        return None
    size, kind, request = _HEAD.unpack_from(data)
    return (kind, request) if size == len(data) - LENGTH_SIZE else None


def kind_and_request(view: memoryview) -> tuple[int, int]:
    """How every packet begins: SSH_FXP_* and the request id (in INIT: the version)."""
    try:
        return _KIND.unpack_from(view)
    except struct.error:
        raise WireError(f"SFTP packet of {len(view)} bytes") from None


def string(value: bytes) -> bytes:
    """A length-prefixed string."""
    return _U32.pack(len(value)) + value


def u32(value: int) -> bytes:
    return _U32.pack(value)


def packet(kind: Kind, request: int, payload: bytes) -> bytes:
    """A whole packet with its length and request id."""
    return _HEAD.pack(len(payload) + 5, kind, request) + payload


def version_packet(extensions: list[tuple[bytes, bytes]]) -> bytes:
    """SSH_FXP_VERSION with the extensions that the server offers."""
    body = _U32.pack(VERSION) + b"".join(string(k) + string(v) for k, v in extensions)
    return _U32.pack(len(body) + 1) + bytes([Kind.VERSION]) + body


def status_packet(request: int, status: Status, text: str = "") -> bytes:
    rest = _status(status, text.encode()) if text else _STATUSES[status]
    return _HEAD.pack(len(rest) + KIND_SIZE, _STATUS, request) + rest


def _status(status: Status, message: bytes) -> bytes:
    """What follows the request id: the code, the message, and no language."""
    return _U32.pack(status) + string(message) + string(b"")


_STATUS = int(Kind.STATUS)
_STATUSES = {status: _status(status, text) for status, text in STATUS_TEXT.items()}


def data_head(request: int, size: int) -> bytes:
    """What precedes `size` bytes of file content."""
    return _DATA.pack(size + 9, Kind.DATA, request, size)


_ATTRS = struct.Struct(">IQIIIII")
_ALL_ATTRS = AttrFlag.SIZE | AttrFlag.UIDGID | AttrFlag.PERMISSIONS | AttrFlag.ACMODTIME


def attrs(st: os.stat_result) -> bytes:
    """All attributes that version 3 knows."""
    return _ATTRS.pack(
        _ALL_ATTRS,
        st.st_size,
        st.st_uid & 0xFFFFFFFF,
        st.st_gid & 0xFFFFFFFF,
        st.st_mode,
        int(st.st_atime) & 0xFFFFFFFF,
        int(st.st_mtime) & 0xFFFFFFFF,
    )


def names(entries: list[tuple[bytes, bytes, bytes]]) -> bytes:
    """SSH_FXP_NAME's payload: (name, long name, encoded attributes) each."""
    parts = [_U32.pack(len(entries))]
    for name, longname, encoded in entries:
        parts += (string(name), string(longname), encoded)
    return b"".join(parts)


NO_ATTRS: Final = b"\0\0\0\0"

_STATVFS = struct.Struct(">11Q")
_READ_ONLY = 1
_NO_SUID = 2


def statvfs(st: os.statvfs_result) -> bytes:
    """The reply to statvfs@openssh.com (PROTOCOL, section 4.4)."""
    flags = (_READ_ONLY if st.f_flag & os.ST_RDONLY else 0) | (
        _NO_SUID if st.f_flag & os.ST_NOSUID else 0
    )
    return _STATVFS.pack(
        st.f_bsize,
        st.f_frsize,
        st.f_blocks,
        st.f_bfree,
        st.f_bavail,
        st.f_files,
        st.f_ffree,
        st.f_favail,
        st.f_fsid & 0xFFFFFFFFFFFFFFFF,
        flags,
        st.f_namemax,
    )


def limits(handles: int) -> bytes:
    """The reply to limits@openssh.com: packet, read, write, handles."""
    return struct.pack(">4Q", MAX_PACKET, MAX_READ, MAX_WRITE, handles)
