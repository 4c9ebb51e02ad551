"""Stands in for an editor's remote server: says where it listens, then answers HTTP.

`--start-server` is the server itself; `command-shell` is the exec server, which starts servers for
its clients and ends with the process it was told to watch.
"""

import http.server
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

LIFETIME = 120
"""Seconds after which it ends by itself, whatever became of the test."""


def option(name: str, default: str = "") -> str:
    """The value of `--name=value` or `--name value`."""
    for index, word in enumerate(sys.argv):
        if word == name:
            return sys.argv[index + 1]
        if word.startswith(f"{name}="):
            return word[len(name) + 1 :]
    return default


def token() -> str:
    path = option("--connection-token-file")
    return Path(path).read_text().strip() if path else ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/version":
            self.answer(200, option("--commit").encode())
        elif self.path == f"/?tkn={token()}":
            self.answer(200, b"workbench %d" % os.getpid())
        else:
            self.answer(403, b"Forbidden.")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/echo":
            self.answer(200, body)
            return
        words = body.decode().split("\n")
        started = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        assert started.stdout is not None
        self.answer(200, started.stdout.readline())


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def watch(pid: int) -> None:
    """End with process `pid`."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(0)
        time.sleep(0.05)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    signal.alarm(LIFETIME)
    path = option("--socket-path")
    if path:
        server, where = UnixServer(path, Handler), path
        Path(path).chmod(0o600)
    else:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        where = str(server.server_port)
    if "command-shell" in sys.argv:
        parent = int(option("--parent-process-id", "0"))
        if parent:
            threading.Thread(target=watch, args=(parent,), daemon=True).start()
        say(f"Listening on 127.0.0.1:{where}")
    else:
        say(f"Extension host agent listening on {where}")
    server.serve_forever()


main()
