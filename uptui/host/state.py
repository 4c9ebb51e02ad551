"""The state directory: private, and every document in it replaced atomically or not at all."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from uptui.errors import StateError

MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024
"""Largest document that is read."""

T = TypeVar("T", bound=msgspec.Struct)


class _Versioned(msgspec.Struct):
    version: int = 1


def private_directory(path: Path) -> None:
    """Make `path` a directory of ours with mode 0700, with its parents.

    Raises StateError when it belongs to somebody else or is not a directory.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise StateError(path, "is not a directory")
        if found.st_uid != os.getuid():
            raise StateError(path, f"belongs to user {found.st_uid}, not to us: not used")
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        problem = f"cannot be made a private directory: {error.strerror}; UPTUI_STATE_DIR and "
        raise StateError(path, problem + "UPTUI_RUNTIME_DIR name other places") from error


def write_private(path: Path, data: bytes) -> None:
    """Replace a file with mode 0600: whole on disk before it takes the old one's place.

    Raises StateError; the old content is then still there.
    """
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
        _sync_directory(path.parent)
    except OSError as error:
        raise StateError(path, f"cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StateDir:
    """Named JSON documents (`NAME.json`) of one instance; a host.memory.Store."""

    def __init__(self, path: Path) -> None:
        private_directory(path)
        self.path = path

    def load(self, name: str, kind: type[T]) -> T | None:
        """The document, or None when there is none.

        Raises StateError for one that is unreadable, damaged, or of a later version of uptui; it
        is left as it is.
        """
        path = self._file(name)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_DOCUMENT_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(path, f"cannot be read: {error.strerror}") from error
        if len(data) > MAX_DOCUMENT_BYTES:
            raise StateError(path, f"larger than {MAX_DOCUMENT_BYTES} bytes")
        return self._decoded(path, data, kind)

    def save(self, name: str, document: msgspec.Struct) -> None:
        """Replace the document atomically. Raises StateError; the old one is then still there."""
        data = msgspec.json.format(msgspec.json.encode(document), indent=1)
        write_private(self._file(name), data + b"\n")

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.json"

    @staticmethod
    def _decoded(path: Path, data: bytes, kind: type[T]) -> T:
        advice = "it is left as it is; repair it, or move it away to start afresh"
        try:
            written = msgspec.json.decode(data, type=_Versioned).version
        except (msgspec.DecodeError, UnicodeError) as error:
            raise StateError(path, f"damaged ({error}); {advice}") from error
        fields = msgspec.structs.fields(kind)
        newest = next((field.default for field in fields if field.name == "version"), 1)
        if written > newest:
            problem = f"written by a later uptui (version {written}, we read up to {newest})"
            raise StateError(path, f"{problem}; {advice}")
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise StateError(path, f"damaged ({error}); {advice}") from error
