"""Whatever a client says to the built-in scp, the channel ends and nothing outside changes."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_sftp_requests import DEADLINE, Channel, Mover, no_large_files, seen, trees
from uptui.core.traffic import Meter
from uptui.host.sshd.files.rooted_fs import RootedFs
from uptui.host.sshd.files.scp import ScpCommand, ScpSession
from uptui.host.sshd.files.workers import FileWorkers

__all__ = ["no_large_files"]
SAID = st.lists(
    st.sampled_from([
        b"\0", b"\1oops\n", b"\2stop\n", b"E\n", b"T1 0 2 0\n", b"T-1 0 1180591620717411303424 0\n",
        b"C0644 4 new\n", b"body\0", b"C0644 -5 f\n", b"C0644 0 out\n", b"D0755 0 out\n",
        b"D0755 0 dir\n", b"C0644 6 secret\n", b"C4755 4 ..\n",
        b"C0644 4 ../outside/secret\n", b"D",
    ]) | st.binary(max_size=12),
    max_size=12,
)  # fmt: skip
COMMANDS = st.builds(
    ScpCommand,
    st.booleans(),
    st.sampled_from([b"f", b".", b"new", b"out", b"loop", b"../outside", b"/etc/passwd", b"~root"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


class Wire(Channel):
    """Takes reasons, too."""

    def write_stderr(self, data: bytes) -> None:
        assert data.startswith(b"scp: ")


async def served(root: Path, command: ScpCommand, said: list[bytes]) -> int:
    channel, share = Wire(), FileWorkers().of("mover")
    tree = RootedFs(str(root), str(root), str(root))
    session = ScpSession(command, channel, Meter(), Mover(root), tree, share)
    for piece in said:
        session.data_received(piece)
    session.eof_received()
    status = await asyncio.wait_for(channel.status, DEADLINE)
    assert share.held.descriptors == 0
    return status


@pytest.mark.usefixtures("no_large_files")
@settings(max_examples=150, deadline=None)
@given(COMMANDS, SAID)
def test_it_ends(command: ScpCommand, said: list[bytes]) -> None:
    with trees() as (root, outside):
        before = seen(outside)
        assert asyncio.run(served(root, command, said)) in {0, 1}
        assert seen(outside) == before
        assert sorted(root.parent.iterdir()) == [outside, root]
