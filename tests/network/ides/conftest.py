"""Hosts for whole files of tests, and the web site that editors download from."""

import contextlib
import http.server
import shutil
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.network.daemon.conftest import Machine
from tests.network.ides.desk import Desk, desk_of


@contextlib.contextmanager
def new_machine() -> Generator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="uptui-i-"))
    made = Machine(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def host() -> Generator[Desk]:
    """A host that lets the desk's key in."""
    with (
        new_machine() as machine,
        desk_of(machine, "--authorized-keys", machine.key, "--unknown", "deny") as desk,
    ):
        yield desk


@pytest.fixture
def desk(host: Desk) -> Generator[Desk]:
    """The host of this file, without clients left from other tests."""
    yield host
    host.leave()


@pytest.fixture
def machine() -> Generator[Machine]:
    """Directories and keys for a host that the test starts."""
    with new_machine() as made:
        yield made


class Origin:
    """The web site that editors download their servers from."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.go_on = threading.Event()
        """Cleared: a download stops half-way, and ends there once this is set."""
        self.go_on.set()
        self.half_sent = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.files.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                if outer.go_on.is_set() or not body:
                    self.wfile.write(body or b"")
                else:
                    self.wfile.write(body[: len(body) // 2])
                    outer.half_sent.set()
                    outer.go_on.wait()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                del format, args

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def offer(self, path: str, body: bytes) -> str:
        """Serve `body` at `path`; its URL."""
        self.files[path] = body
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def origin() -> Generator[Origin]:
    site = Origin()
    yield site
    site.close()
