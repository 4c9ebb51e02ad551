"""A relay started on sockets that are already open, as systemd does it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from uptui.relay.ingress.systemd_sockets import inherited


async def test_the_relay_serves_on_the_sockets_it_is_given(tmp_path: Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    assert activate is not None, "these tests need Debian's package systemd"
    http, ssh = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    program = [sys.executable, "-m", "uptui", "relay", "--http", http, "--ssh", ssh]
    process = await asyncio.create_subprocess_exec(
        *(activate, "-l", http, "-l", ssh, *program),
        *("--public-host", "127.0.0.1", "--state", str(tmp_path / "state")),
        env={**os.environ, "UPTUI_CONFIG_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{http}", trust_env=False) as client:
            answer = await _first_answer(client)
            assert answer.json()["service"] == "uptui-relay"
            assert answer.json()["ssh_port"] == int(ssh.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(*ssh.rsplit(":", 1))
        assert (await reader.readline()).startswith(b"SSH-2.0-")
        writer.close()
    finally:
        process.terminate()
        await process.wait()


async def _first_answer(client: httpx.AsyncClient) -> httpx.Response:
    """The answer to a request that waited in the socket's backlog while the relay started."""
    async with asyncio.timeout(40):
        while True:
            try:
                return await client.get("/v1/info", timeout=30)
            except httpx.ConnectError:
                await asyncio.sleep(0.05)


def test_without_systemd_nothing_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "3")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    assert inherited("127.0.0.1", 8080) is None
    monkeypatch.setenv("LISTEN_PID", "nonsense")
    assert inherited("127.0.0.1", 8080) is None
