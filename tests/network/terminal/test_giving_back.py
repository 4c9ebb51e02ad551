"""Whoever is shown out, leaves, or loses the share finds the terminal as it was."""

import asyncio
import os
import signal
import time

import asyncssh
import pytest

from tests.network.terminal.conftest import House, Start
from tests.network.terminal.test_ssh import Clients, clients, shows
from tests.network.terminal.viewers import Person, shell, until
from tests.unit.terminal.screens import state
from uptui.core.roles import DEVELOPER, PAIR, VIEWER, Role
from uptui.host.sshd.access_control import Grant, Landing
from uptui.host.sshd.transport import FAREWELL

__all__ = ["clients"]
MEDDLE = (
    r"\e[?1049h\e[?1000;1002;1003;1004;1006h\e[?2004h\e[?25l\e[>4;2m\e[3g\e[5G\eH\e]2;evil\a\e[?1h"
    r"\e=\e[5 q\e[31m\e[?7l\e[4h\e[?69h\e[4;60s\e[3;9r\e[?6h\e)0\016"
)
OWN = r"\e]4;1;rgb:11/22/33\a\e]11;#123456\a\e[>5u"
APART = ("page", "primary", "cursor", "saved", "attributes")


def settings_of(window: object) -> dict[str, object]:
    """Everything about a terminal but what it shows and where."""
    return {key: value for key, value in state(window).items() if key not in APART}  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("screen", ["", r"\e[?1049l"])
@pytest.mark.parametrize("way", ["kicked", "role", "program", "own shell", "own shell, role"])
async def test_ssh_clients_get_their_terminal_back(
    house: House, clients: Clients, way: str, screen: str
) -> None:
    served = await house.serve(house.terminals(command=["sh", "-c", "read x; $x; exec cat"]))
    own = way.startswith("own")
    served.gate.grant = Grant("ann", DEVELOPER if own else PAIR)
    ann = clients.ssh(served)
    ann.window.feed(b"\x1b]2;mine\x07" + b"my own line\r\n" * 3)
    before = settings_of(ann.window)
    program = house.directory / "meddle"
    text = MEDDLE + screen + (OWN if own else "")
    program.write_text(f"#!/bin/sh\nprintf '{text}'; echo DONE; read y\n")
    program.chmod(0o755)
    if own:
        await shows(ann, "$")
    ann.type(f"{program}\r")
    await shows(ann, "DONE")
    assert settings_of(ann.window) != before
    [guest] = served.gate.guests
    if way in ("kicked", "own shell"):
        guest.disconnect("you were shown out")
    elif way == "program":
        ann.type("\r\x04")
        await asyncio.sleep(0.2)
        ann.type("\x04")
    else:
        guest.apply(Grant("ann", Role("none", frozenset())))
    await until(lambda: ann.status, lambda: ann.text)
    after = settings_of(ann.window) if ann.lines else {}
    if own:
        before["title"] = after["title"]  # which sshd leaves, too
    assert after == before
    assert "DONE" not in ann.text or screen


@pytest.mark.parametrize("own", [False, True])
async def test_a_client_that_reads_all_at_once_gets_its_terminal_back_before_it_goes(
    house: House, clients: Clients, own: bool
) -> None:
    """OpenSSH's client forgets at a disconnect what it has read and not shown."""
    served = await house.serve(house.terminals(command=["sh", "-c", "read x; $x; exec cat"]))
    served.gate.grant = Grant("ann", DEVELOPER if own else PAIR)
    ann = clients.ssh(served)
    before = settings_of(ann.window)
    program = house.directory / "meddle"
    program.write_text(f"#!/bin/sh\nprintf '{MEDDLE}'; echo DONE; read y\n")
    program.chmod(0o755)
    if own:
        await shows(ann, "$")
    ann.type(f"{program}\r")
    await shows(ann, "DONE")
    [guest] = served.gate.guests
    os.kill(ann.pty.pid, signal.SIGSTOP)
    guest.disconnect("you were shown out")
    await asyncio.sleep(0.2)  # all that will be sent is there
    os.kill(ann.pty.pid, signal.SIGCONT)
    await until(lambda: ann.status, lambda: ann.text)
    assert "you were shown out" in ann.text
    after = settings_of(ann.window)
    if own:
        before["title"] = after["title"]  # which sshd leaves, too
    assert after == before
    await until(lambda: served.gate.gone)


async def test_a_client_that_takes_nothing_is_cut_off(house: House, clients: Clients) -> None:
    """And may begin nothing while it is waited for."""
    served = await house.serve(house.terminals())
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="me", known_hosts=None, agent_path=None, config=None,
        client_keys=[served.key],
    ) as client:  # fmt: skip
        shell = await client.create_process(term_type="xterm", encoding=None)
        await shell.stdout.read(1)
        shell.channel.pause_reading()
        [guest] = served.gate.guests
        guest.disconnect("you were shown out")
        with pytest.raises((asyncssh.Error, OSError)):
            await client.run("true", check=True)
        started = time.monotonic()
        await asyncio.wait_for(client.wait_closed(), 3 * FAREWELL)
        assert time.monotonic() - started < 2 * FAREWELL
    await until(lambda: served.gate.gone)


async def test_watchers_with_output_on_its_way_get_their_terminal_back(start: Start) -> None:
    terminal = start(shell())
    ann, bob, phone = Person(), Person(), Person(40, 10)
    seat = terminal.join(ann, "ann", types=True)
    before = settings_of(bob.window), settings_of(phone.window)
    bob.window.feed(b"bob's own\r\n")
    watcher = terminal.join(bob, "bob", types=False)
    small = terminal.join(phone, "phone", types=False)
    await until(lambda: "$" in bob.text and "$" in phone.text)
    raw = MEDDLE.replace(r"\e", "\x1b").replace(r"\a", "\a").replace(r"\016", "\x0e").encode()
    terminal._output(raw)  # pyright: ignore[reportPrivateUsage]
    assert not terminal.emulator.alternate, "the emulator has not read it yet"
    watcher.type(b"\x1d")
    small.type(b"\x1d")
    assert (settings_of(bob.window), settings_of(phone.window)) == before
    seat.regrant(Grant("ann", VIEWER, Landing("shared")))
    await until(lambda: terminal.emulator.alternate and ann.window.alternate)
