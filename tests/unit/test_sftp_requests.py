"""Any requests, against a real session in a real root: each is answered once, and nothing outside
the root changes."""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uptui.core.roles import DEVELOPER, Capability, Role
from uptui.core.traffic import Meter
from uptui.host.sshd.files import extensions
from uptui.host.sshd.files import session as session_module
from uptui.host.sshd.files.codec import Kind
from uptui.host.sshd.files.handlers import Files
from uptui.host.sshd.files.rooted_fs import RootedFs
from uptui.host.sshd.files.session import BROKEN, SftpSession
from uptui.host.sshd.files.workers import FileWorkers
from uptui.protocol.host_api import Level, Transfer

LARGEST = 1 << 20
"""Bytes of a file within these tests."""
DEADLINE = 20.0
MOVES = frozenset({Capability.READ, Capability.WRITE})
EDGES = [0, 1, 2, 4, 0o777, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
LONG_EDGES = [*EDGES, 1 << 32, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def text(value: bytes) -> bytes:
    return u32(len(value)) + value


def joined(parts: list[bytes]) -> bytes:
    return b"".join(parts)


INTS = (st.sampled_from(EDGES) | st.integers(0, (1 << 32) - 1)).map(u32)
LONGS = (st.sampled_from(LONG_EDGES) | st.integers(0, (1 << 64) - 1)).map(u64)
HANDLES = (st.integers(0, 5).map(u32) | st.binary(max_size=5)).map(text)
NAMES = st.sampled_from([
    b"", b".", b"..", b"f", b"g", b"dir", b"dir/in", b"out", b"out/secret", b"link", b"loop",
    b"../outside/secret", b"/", b"/etc/passwd", b"/dev/zero", b"~", b"~root", b"a\0b", b"x" * 300,
    b"dir/" * 2000, b"\xff",
])  # fmt: skip
PATHS = (NAMES | st.binary(max_size=8)).map(text)
TEXTS = st.binary(max_size=40).map(text)
FLAGS = st.sampled_from([1, 2, 3, 8 | 2, 16 | 2, 4 | 2 | 8, 63, 0]).map(u32)


@st.composite
def attributes(draw: st.DrawFn) -> bytes:
    flags = draw(st.integers(0, 15))
    parts = [u32(flags)]
    parts += [draw(LONGS)] if flags & 1 else []
    for bit, count in ((2, 2), (4, 1), (8, 2)):
        parts += [draw(INTS) for _ in range(count)] if flags & bit else []
    return b"".join(parts)


ATTRS = attributes()
SHAPES: list[tuple[Kind, tuple[st.SearchStrategy[bytes], ...]]] = [
    (Kind.OPEN, (PATHS, FLAGS, ATTRS)), (Kind.CLOSE, (HANDLES,)),
    (Kind.READ, (HANDLES, LONGS, INTS)),
    (Kind.WRITE, (HANDLES, LONGS, TEXTS)), (Kind.LSTAT, (PATHS,)), (Kind.FSTAT, (HANDLES,)),
    (Kind.SETSTAT, (PATHS, ATTRS)), (Kind.FSETSTAT, (HANDLES, ATTRS)), (Kind.OPENDIR, (PATHS,)),
    (Kind.READDIR, (HANDLES,)), (Kind.REMOVE, (PATHS,)), (Kind.MKDIR, (PATHS, ATTRS)),
    (Kind.RMDIR, (PATHS,)), (Kind.REALPATH, (PATHS,)), (Kind.STAT, (PATHS,)),
    (Kind.RENAME, (PATHS, PATHS)), (Kind.READLINK, (PATHS,)), (Kind.SYMLINK, (PATHS, PATHS)),
]  # fmt: skip
IDS = st.lists(INTS, max_size=4).map(joined).map(text)
EXTENDED: dict[bytes, tuple[st.SearchStrategy[bytes], ...]] = {
    b"posix-rename@openssh.com": (PATHS, PATHS), b"statvfs@openssh.com": (PATHS,),
    b"fstatvfs@openssh.com": (HANDLES,), b"hardlink@openssh.com": (PATHS, PATHS),
    b"fsync@openssh.com": (HANDLES,), b"lsetstat@openssh.com": (PATHS, ATTRS),
    b"limits@openssh.com": (), b"expand-path@openssh.com": (PATHS,),
    b"copy-data": (HANDLES, LONGS, LONGS, HANDLES, LONGS), b"home-directory": (PATHS,),
    b"users-groups-by-id@openssh.com": (IDS, IDS), b"unknown@example.org": (TEXTS,),
}  # fmt: skip


def asked(kind: int, *fields: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[int, bytes]]:
    return st.tuples(st.just(kind), st.tuples(*fields).map(list).map(joined))


REQUESTS = st.one_of(
    *(asked(kind, *fields) for kind, fields in SHAPES),
    *(asked(Kind.EXTENDED, st.just(text(name)), *rest) for name, rest in EXTENDED.items()),
    asked(77, TEXTS),
)


class Channel:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.outbox = contextlib.nullcontext()
        self.written = bytearray()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        self.written += data

    def write_stderr(self, data: bytes) -> None:
        raise AssertionError(data)

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def exit(self, status: int) -> None:
        self.status.set_result(status)

    def answers(self) -> list[tuple[int, int]]:
        """Kind and request id of each."""
        found: list[tuple[int, int]] = []
        while self.written:
            size, kind, number = struct.unpack_from(">IBI", self.written)
            found.append((kind, number))
            del self.written[: 4 + size]
        return found


class Mover:
    """Moves files within a root."""

    def __init__(self, root: Path) -> None:
        self.role: Role = replace(DEVELOPER, capabilities=MOVES, files_root=str(root))

    def note(self, event: str, text: str, *, level: Level = "info", **data: object) -> None:
        assert text.isprintable(), (event, level, data)

    def show_transfer(self, transfer: Transfer) -> None: ...


async def served(
    root: Path, requests: Sequence[tuple[int, bytes]]
) -> tuple[int, list[tuple[int, int]]]:
    """Exit status, and the answers after the greeting."""
    channel, share = Channel(), FileWorkers().of("mover")
    files = Files(Mover(root), RootedFs(str(root), str(root), str(root)), share.held)
    session = SftpSession(channel, files, Meter(), share)
    session.data_received(text(bytes([Kind.INIT]) + u32(3)))
    for number, (kind, payload) in enumerate(requests):
        session.data_received(text(bytes([kind]) + u32(number) + payload))
    session.eof_received()
    status = await asyncio.wait_for(channel.status, DEADLINE)
    assert share.held.descriptors == 0
    return status, channel.answers()[1:]


def seen(folder: Path) -> list[tuple[object, ...]]:
    """All that can be told of it."""
    found: list[tuple[object, ...]] = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        stats = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((path, stats.st_mode, stats.st_uid, stats.st_mtime_ns, content))
    return found


@pytest.fixture(scope="module")
def no_large_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@contextlib.contextmanager
def trees() -> Generator[tuple[Path, Path]]:
    """A root, and what lies beside it."""
    with tempfile.TemporaryDirectory(prefix="uf-", dir="/tmp") as name:
        root, outside = Path(name) / "root", Path(name) / "outside"
        (root / "dir").mkdir(parents=True)
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (root / "f").write_bytes(b"contents")
        (root / "dir/in").touch()
        (root / "out").symlink_to("../outside")
        (root / "link").symlink_to("f")
        (root / "loop").symlink_to("loop")
        yield root, outside
        root.chmod(0o700)
        for folder, names, _ in os.walk(root):  # what modes they got: all can be removed
            for inner in names:
                if not (Path(folder) / inner).is_symlink():
                    (Path(folder) / inner).chmod(0o700)


HANDLE = text(u32(0))
OVERFLOWS = [
    (Kind.OPEN, text(b"f") + u32(3) + u32(0)),
    (Kind.FSETSTAT, HANDLE + u32(15) + u64((1 << 64) - 1) + u32((1 << 32) - 1) * 5),
    (Kind.WRITE, HANDLE + u64((1 << 64) - 1) + text(b"x")),
    (Kind.READ, HANDLE + u64((1 << 64) - 1) + u32((1 << 32) - 1)),
    (Kind.STAT, text(b"a\0b")),
]


@pytest.mark.usefixtures("no_large_files")
@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS, max_size=25))
@example(OVERFLOWS)
def test_each_request_is_answered_once_and_the_root_holds(
    requests: list[tuple[int, bytes]],
) -> None:
    with trees() as (root, outside):
        before = seen(outside)
        status, answers = asyncio.run(served(root, requests))
        assert status == 0
        assert [number for _, number in answers] == list(range(len(requests)))
        assert {kind for kind, _ in answers} <= {*range(101, 106), Kind.EXTENDED_REPLY}
        assert seen(outside) == before
        assert sorted(root.parent.iterdir()) == [outside, root]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(Kind)), st.binary(max_size=60))
def test_what_is_cut_short_ends_the_session_or_is_answered(kind: Kind, payload: bytes) -> None:
    with trees() as (root, outside):
        before = seen(outside)
        status, answers = asyncio.run(served(root, [(kind, payload)]))
        assert (status, len(answers)) in {(0, 1), (BROKEN, 0)}
        assert seen(outside) == before


def test_a_turn_that_ends_with_work_for_a_thread_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It went on beside the thread, whose answer was lost."""
    monkeypatch.setattr(session_module, "TURN", 0.0)
    fsync = text(b"fsync@openssh.com") + HANDLE
    opened = (Kind.OPEN, text(b"f") + u32(3) + u32(0))
    with trees() as (root, _):
        requests = [opened, *[(Kind.EXTENDED, fsync), (Kind.STAT, text(b"f"))] * 9]
        status, answers = asyncio.run(served(root, requests))
    assert (status, [number for _, number in answers]) == (0, list(range(len(requests))))


def test_all_extensions_are_tried() -> None:
    assert set(extensions.HANDLERS) < set(EXTENDED)
