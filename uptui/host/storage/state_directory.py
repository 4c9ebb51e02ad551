"""The state directory: private, and every document in it replaced atomically or not at all."""

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from uptui.errors import StateError
from uptui.runtime.private_files import private_directory, write_private

MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024
"""Largest document that is read."""

T = TypeVar("T", bound=msgspec.Struct)


class _Versioned(msgspec.Struct):
    version: int = 1


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
