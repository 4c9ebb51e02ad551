"""The host's own tty at the shared terminal, over the API's Unix socket."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from tests.network.terminal.conftest import House
from tests.network.terminal.tty import Tty
from tests.network.terminal.viewers import Person, until
from uptui.host.process.guests import Guests
from uptui.host.process.spawn import ExitStatus
from uptui.host.terminals.attach import routes
from uptui.host.terminals.terminals import TerminalService

ATTACH = """
import asyncio, sys
from pathlib import Path
from uptui.client.attach import attach
end = asyncio.run(attach(Path(sys.argv[1])))
print("left:", end.message, end.code)
"""

IN_LOOP = """
import asyncio, sys
from pathlib import Path
from uptui.cli.window import take_over
async def suspended():
    print("code:", take_over(Path(sys.argv[1]), "shared"))
asyncio.run(suspended())
"""


class Api:
    def __init__(self, terminals: TerminalService, path: Path) -> None:
        self.terminals = terminals
        self.path = path

    def attach(self, script: str = ATTACH, columns: int = 80, rows: int = 24) -> Tty:
        argv = [sys.executable, "-c", script, str(self.path)]
        return Tty(argv, columns, rows, PYTHONPATH=str(Path.cwd()))


@pytest.fixture
async def api(house: House) -> AsyncIterator[Api]:
    terminals = house.terminals(recordings=house.directory / "recordings")
    with tempfile.TemporaryDirectory(prefix="uptui-") as directory:
        path = Path(directory) / "api.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        app = Starlette(routes=routes(terminals, Guests().end))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="websockets-sansio"))
        task = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        yield Api(terminals, path)
        server.should_exit = True
        terminals.close()
        await task


async def shows(tty: Tty, text: str) -> None:
    await until(lambda: text in tty.text, lambda: f"{text!r} in:\n{tty.text}")


async def test_host_types_watches_and_leaves(api: Api) -> None:
    host = api.attach(columns=90, rows=25)
    await shows(host, "uptui: ^] leaves it")
    await shows(host, "$")
    host.type("stty size; vim.tiny -u NONE\r")
    await shows(host, "~")
    late = Person(90, 25)
    api.terminals.join(late, "late", types=False)
    await until(lambda: "~" in late.text, lambda: late.text)
    host.resize(70, 20)
    await until(lambda: api.terminals.snapshot()[0].columns == 70, api.terminals.snapshot)
    host.type("\x1d")
    await until(lambda: host.status, lambda: host.text)
    assert host.status == ExitStatus(code=0)
    assert "left:  0" in host.text
    assert not host.window.alternate
    assert api.terminals.snapshot()[0].viewers == 1


async def test_a_suspended_interface_can_join(api: Api) -> None:
    host = api.attach(IN_LOOP)
    await shows(host, "$")
    host.type("exit 9\r")
    await until(lambda: host.status, lambda: host.text)
    assert "code: 9" in host.text


async def test_the_end_of_the_program_is_told(api: Api) -> None:
    host = api.attach()
    await shows(host, "$")
    host.type("exit 9\r")
    await until(lambda: host.status, lambda: host.text)
    assert "left: the shared terminal has ended 9" in host.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_the_tty_is_restored_when_killed(api: Api, number: signal.Signals) -> None:
    host = api.attach()
    await shows(host, "$")
    host.type("vim.tiny -u NONE\r")
    await shows(host, "~")
    device = os.open(host.pty.device, os.O_RDWR | os.O_NOCTTY)
    try:
        assert not termios.tcgetattr(device)[3] & termios.ICANON
        os.kill(host.pty.pid, number)
        await until(lambda: termios.tcgetattr(device)[3] & termios.ICANON)
    finally:
        os.close(device)
    await until(lambda: host.status)
    host.lines  # noqa: B018
    assert not host.window.alternate
    assert not host.window.mode(2004)


async def test_recording_is_announced_private_and_complete(api: Api, house: House) -> None:
    host = api.attach()
    await shows(host, "$")
    transport = httpx.AsyncHTTPTransport(uds=str(api.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://uptui") as http:
        where = "/v1/terminals/shared/recording"
        assert (await http.put(where, json={"recording": True})).status_code == 204
        await shows(host, "this terminal is being recorded")
        assert api.terminals.snapshot()[0].recording
        host.type("echo recorded $((1+1))\r")
        await shows(host, "\nrecorded 2")
        assert (await http.put(where, json={"recording": False})).status_code == 204
        host.type("echo secret $((1+2))\r")
        await shows(host, "\nsecret 3")
        [path] = (house.directory / "recordings").glob("*.cast")
        assert path.stat().st_mode & 0o777 == 0o600
        header, *events = [json.loads(line) for line in path.read_text().splitlines()]
        assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
        text = "".join(data for _, kind, data in events if kind == "o")
        assert "recorded 2" in text
        assert "secret 3" not in text
        assert (await http.post("/v1/terminals/shared/end")).status_code == 204
    await until(lambda: host.status)
