"""Whoever is shown out, leaves, or loses the share finds the terminal as it was."""

import asyncio

import pytest

from tests.network.terminal.conftest import House, Start
from tests.network.terminal.test_ssh import Clients, clients, shows
from tests.network.terminal.viewers import Person, shell, until
from tests.unit.terminal.screens import state
from uptui.core.roles import DEVELOPER, PAIR, VIEWER, Role
from uptui.host.sshd.access_control import Grant, Landing

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
