"""A terminal's output as an asciicast v2 file, readable by its owner only and limited in size.

Format: https://docs.asciinema.org/manual/asciicast/v2/
"""

import codecs
import contextlib
import json
import os
import time
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 64 * 1024 * 1024
"""A recording stops when its file has this size."""
_BUFFER: Final = 64 * 1024


class Recording:
    """Writes one file from its creation to `close`; errors of the disk end it, not the terminal."""

    def __init__(
        self, path: Path, columns: int, rows: int, *, title: str = "", limit: int = MAX_BYTES
    ) -> None:
        """Create the file, which must not exist yet. Raises OSError."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self.path = path
        self.limited = False
        self._file = os.fdopen(fd, "wb", buffering=_BUFFER)
        self._left = limit
        self._started = time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        header = {
            "version": 2,
            "width": columns,
            "height": rows,
            "timestamp": int(time.time()),
            "title": title,
            "env": {"TERM": "xterm-256color"},
        }
        self._line(header)
        self._file.flush()

    @property
    def on(self) -> bool:
        """Whether it still writes."""
        return not self._file.closed

    def output(self, data: bytes) -> None:
        """Something was shown."""
        text = self._decoder.decode(data)
        if text:
            self._event("o", text)

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size now."""
        self._event("r", f"{columns}x{rows}")

    def close(self) -> None:
        """Write what is left and close the file; may be called twice."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _event(self, kind: str, text: str) -> None:
        self._line([round(time.monotonic() - self._started, 6), kind, text])

    def _line(self, value: object) -> None:
        if self._file.closed:
            return
        line = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        self._left -= len(line)
        if self._left < 0:
            self.limited = True
            self.close()
            return
        try:
            self._file.write(line)
        except OSError:
            self.limited = True
            self.close()
