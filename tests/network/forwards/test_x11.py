"""X11 forwarding: a real display of the client's, reached by a real X program on the host."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.display import PROTOCOL, SHOWN, cookie_file, x_server
from tests.network.files.host import Running, running
from uptui.core.roles import DEVELOPER, Capability

DEADLINE = 60.0
WITHOUT = replace(
    DEVELOPER,
    name="none",
    capabilities=DEVELOPER.capabilities - {Capability.FORWARD_REMOTE},
)


@pytest.fixture
async def box(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A host started on somebody's desktop, whose display is none of its guests' business."""
    monkeypatch.setenv("HOME", str(short_dir))
    monkeypatch.setenv("XAUTHORITY", "/nonexistent/of-the-daemon")
    monkeypatch.setenv("DISPLAY", ":4711")
    async with running(short_dir) as host:
        yield host


@pytest.fixture
def desktop(box: Running) -> Iterator[dict[str, str]]:
    """Variables of the programs beside the client."""
    with x_server(box.directory) as variables:
        yield variables


@contextlib.asynccontextmanager
async def session(box: Running, desktop: dict[str, str], *args: str) -> AsyncGenerator[str]:
    """A session that stays open; the display that its programs were given."""
    process = await asyncio.create_subprocess_exec(
        *box.ssh(*args, "box", 'echo "$DISPLAY"; cat'),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**box.env, **desktop},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        await process.communicate(b"")


@pytest.mark.parametrize("option", ["-X", "-Y"])
async def test_a_program_reaches_the_clients_display(
    box: Running, desktop: dict[str, str], option: str
) -> None:
    command = 'echo "[$DISPLAY]"; xdpyinfo; xauth list "$DISPLAY"'
    result = await box.run(*box.ssh(option, "box", command), env=desktop)
    assert result.code == 0, result
    assert result.out.startswith(b"[localhost:"), result
    assert SHOWN in result.out
    assert PROTOCOL.encode() in result.out.splitlines()[-1]
    authority = box.directory / "authority"
    real = await box.ok("xauth", "-f", authority, "list")
    assert result.out.split()[-1] not in real  # the host never learns the display's own cookie
    assert len(box.gate.events("x11.forwarded")) == 1


async def test_sessions_have_displays_of_their_own_which_end_with_them(
    box: Running, desktop: dict[str, str]
) -> None:
    async with session(box, desktop, "-Y") as one, session(box, desktop, "-Y") as two:
        assert one != two
        for shown in (one, two):
            assert SHOWN in await box.ok(*box.ssh("box", f"DISPLAY={shown} xdpyinfo"))
    async with asyncio.timeout(DEADLINE):
        while (await box.run(*box.ssh("box", f"DISPLAY={one} xdpyinfo"))).code == 0:
            await asyncio.sleep(0.05)


async def test_another_cookie_opens_nothing(box: Running, desktop: dict[str, str]) -> None:
    async with session(box, desktop, "-Y") as shown:
        wrong = cookie_file(box.directory / "wrong", secrets.token_bytes(16))
        refused = await box.run("xdpyinfo", env={"DISPLAY": shown, "XAUTHORITY": str(wrong)})
    assert refused.code != 0
    assert SHOWN not in refused.out


async def test_a_role_without_it_gets_no_display(box: Running, desktop: dict[str, str]) -> None:
    box.gate.role = WITHOUT
    forward = box.ssh("-Y", "-o", "LogLevel=INFO", "box", 'echo "[$DISPLAY]"')
    result = await box.run(*forward, env=desktop)
    assert result.code == 0
    assert result.out == b"[]\n"
    assert b"X11 forwarding request failed" in result.err


async def test_a_role_that_loses_it_loses_the_display(
    box: Running, desktop: dict[str, str]
) -> None:
    async with session(box, desktop, "-Y") as shown:
        probe = box.ssh("box", f"DISPLAY={shown} xdpyinfo")
        assert SHOWN in await box.ok(*probe)
        box.gate.change_role(WITHOUT)
        assert (await box.run(*probe)).code != 0
