"""The client's X server, for what is forwarded to it."""

import secrets
import struct
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SCREEN: Final = "643x411"
"""A size that no other display has."""
SHOWN: Final = f"dimensions:    {SCREEN} pixels".encode()
"""What xdpyinfo says of it."""
PROTOCOL: Final = "MIT-MAGIC-COOKIE-1"
_ANY_DISPLAY: Final = 0xFFFF


def cookie_file(path: Path, cookie: bytes) -> Path:
    """An authority file (libXau's format) with a cookie for whichever display it will be."""
    fields = [b"", b"", PROTOCOL.encode(), cookie]
    packed = b"".join(struct.pack(">H", len(field)) + field for field in fields)
    path.write_bytes(struct.pack(">H", _ANY_DISPLAY) + packed)
    return path


@contextmanager
def x_server(folder: Path) -> Generator[dict[str, str]]:
    """A display that asks for a cookie; the variables that its user's programs have."""
    cookie = secrets.token_bytes(16)
    authority = folder / "authority"
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-nolisten", "tcp", "-screen", "0", f"{SCREEN}x24",
         "-auth", cookie_file(folder / "server-authority", cookie)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        number = int(server.stdout.readline())
        xauth = ["xauth", "-q", "-f", authority, "-"]
        asked = f"add :{number} {PROTOCOL} {cookie.hex()}\n".encode()
        subprocess.run(xauth, input=asked, check=True, capture_output=True)
        yield {"DISPLAY": f":{number}", "XAUTHORITY": str(authority)}
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
