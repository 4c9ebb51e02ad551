"""Hostile text, sizes that never stop changing, and a mouse without a keyboard."""

import random

import msgspec
import pytest
from textual.worker import WorkerFailed

from tests.tui.conftest import Make
from tests.tui.sample import LOG, PENDING, TOKEN, client, snapshot
from tests.tui.screen import click_on, shown, until, until_shown

EVIL = (
    "[bold]x[/bold]",
    "[/]",
    "[@click=app.detach]free beer[/]",
    "\x1b[2J\x1b[31mred",
    "a\rb\nc\td",
    "\u202egpj.exe",
    "\x9b31mcsi",
    "\x00\x07\x08bell",
    "e\u0301" * 50,
    "漢字" * 60,
    "$primary [$error]",
    "A" * 5000,
)


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
async def test_remote_text_is_only_text(make: Make, evil: str) -> None:
    waiting = msgspec.structs.replace(
        PENDING, name=evil, user=evil, program=evil, wants=evil, address=evil, invite=evil
    )
    guest = msgspec.structs.replace(
        client("bob", 1), name=evil, user=evil, program=evil, address=evil, verified_by=evil
    )
    entry = msgspec.structs.replace(LOG[0], text=evil, name=evil, event=evil)
    app, host = make(snapshot(pending=[waiting], clients=[guest], log=[entry]))
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until_shown(pilot, "Pending 1")
        for key in ("5", "6", "1", "enter", "escape", "a", "escape", "x", "escape", "A"):
            await pilot.press(key)
            await pilot.pause()
            text = shown(pilot)
            assert not any(ord(character) < 32 and character != "\n" for character in text)
            assert not any(0x7F <= ord(character) < 0xA0 for character in text)
            assert "\u202e" not in text
        await until(pilot, lambda: host.calls)
        assert app.is_running


async def test_a_resize_storm_never_crashes(make: Make) -> None:
    app, host = make()
    chance = random.Random(7)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "alice")
        for turn in range(60):
            width, height = chance.randint(1, 200), chance.randint(1, 60)
            await pilot.resize_terminal(width, height)
            if turn % 6 == 0:
                await pilot.press(str(1 + turn // 6 % 7))
        await pilot.resize_terminal(80, 24)
        await pilot.press("1")
        await until_shown(pilot, "Connect")
        await pilot.press("A")
        await until(pilot, lambda: host.calls)


@pytest.mark.parametrize("size", [(39, 24), (80, 11), (20, 5)])
async def test_too_small_terminals_still_answer_requests(make: Make, size: tuple[int, int]) -> None:
    app, host = make()
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press("A")
        await until(pilot, lambda: host.calls)


async def test_mouse_alone_approves(make: Make) -> None:
    app, host = make()
    async with app.run_test(size=(100, 30)) as pilot:
        await click_on(pilot, " A ok ")
        await until(pilot, lambda: host.calls)
        assert host.calls[0][0] == "approve"


async def test_mouse_alone_denies_on_another_screen(make: Make) -> None:
    app, host = make()
    async with app.run_test(size=(160, 40)) as pilot:
        await click_on(pilot, "Invites")
        await until_shown(pilot, "used-up")
        await click_on(pilot, " D no ")
        await until(pilot, lambda: host.calls)
        assert host.calls[0][0] == "deny"


async def test_mouse_alone_kicks(make: Make) -> None:
    app, host = make()
    async with app.run_test(size=(100, 30)) as pilot:
        await click_on(pilot, "carol")
        await click_on(pilot, "x Kick")
        await until_shown(pilot, "Kick carol?")
        await click_on(pilot, "Cancel       Kick", aim=14)
        await until(pilot, lambda: host.calls)
        assert host.calls == [("kick", "c00002", False)]


async def test_mouse_alone_opens_a_client_and_goes_back(make: Make) -> None:
    app, _ = make()
    async with app.run_test(size=(100, 30)) as pilot:
        await click_on(pilot, "carol", times=2)
        await until_shown(pilot, "Timeline")
        await click_on(pilot, "esc Back")
        await until_shown(pilot, "host key")


async def test_mouse_alone_sorts_copies_and_reaches_every_screen(make: Make) -> None:
    app, _ = make()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await click_on(pilot, "program")
        await until_shown(pilot, "program↑")
        await click_on(pilot, "c copy")
        await until_shown(pilot, "Sent to clipboard")
        await click_on(pilot, "1 Dashboard")
        await click_on(pilot, "Relay and alias")
        await until_shown(pilot, "Connection test")


async def test_undo_is_a_click_too(make: Make) -> None:
    app, host = make()
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("L")
        await click_on(pilot, "u undo")
        await until(pilot, lambda: len(host.calls) == 2)
        assert host.calls == [("lock", True), ("lock", False)]


@pytest.mark.parametrize(
    "key", ["1", "2", "3", "4", "5", "6", "7", "enter", "a", "x", "C", "i", "m"]
)
async def test_without_utf8_everything_is_ascii(make: Make, key: str) -> None:
    app, _ = make(ascii_only=True)
    async with app.run_test(size=(100, 40)) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press(key)
        await pilot.pause()
        await pilot.pause()
        assert sorted({character for character in shown(pilot) if not character.isascii()}) == []


async def test_a_crash_prints_no_local_variables(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    app, host = make()

    async def crash() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await until_shown(pilot, "alice")
            host.push(ZeroDivisionError("a bug"))
            await until(pilot, lambda: app.return_code)

    with pytest.raises(WorkerFailed):
        await crash()
    printed = "".join(capsys.readouterr())
    assert "ZeroDivisionError" in printed
    assert TOKEN not in printed
