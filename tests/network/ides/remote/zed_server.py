"""Stands in for Zed's remote server: `version`, and `proxy`, which speaks frames on its pipes.

A frame is its length as 4 bytes, little-endian, then that many bytes. Frames come back reversed;
an empty one is a heartbeat and comes back empty. Logs are JSON lines on stderr.
"""

import json
import os
import sys


def log(text: str) -> None:
    sys.stderr.write(json.dumps({"level": 3, "message": text}) + "\n")
    sys.stderr.flush()


def read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sys.stdin.buffer.read(size - len(data))
        if not piece:
            log("connection closed")
            sys.exit(0)
        data += piece
    return data


def proxy(identifier: str) -> None:
    log(f"starting proxy process. PID: {os.getpid()} {identifier} {os.environ['RUST_LOG']}")
    while True:
        data = read(int.from_bytes(read(4), "little"))
        sys.stdout.buffer.write(len(data).to_bytes(4, "little") + data[::-1])
        sys.stdout.buffer.flush()
        log(f"answered {len(data)}")


if sys.argv[1] == "version":
    sys.stdout.write("1.2.3\n")
else:
    assert sys.argv[1:3] == ["proxy", "--identifier"], sys.argv
    proxy(sys.argv[3])
