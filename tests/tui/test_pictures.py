"""Every screen as it looks, at each size and without colour."""

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from tests.tui.conftest import Make
from tests.tui.sample import EMPTY
from tests.tui.screen import until_shown, until_still

Compare = Callable[..., bool]
SIZES = [(40, 12), (80, 24), (120, 40)]
PLACES = {
    "dashboard": ("1", "Connect"),
    "invites": ("2", "Invites"),
    "relay": ("3", "Link"),
    "ports": ("4", "Listening"),
    "clients": ("5", "Clients"),
    "log": ("6", "Log"),
    "settings": ("7", "Settings"),
    "client": ("enter", "Channels"),
    "help": ("question_mark", "Keys of this screen"),
}


def _to(key: str, text: str) -> Callable[[Pilot[None]], object]:
    async def go(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "alice")
        if key != "1":
            await until_shown(pilot, PLACES["dashboard"][1])
            await until_still(pilot)
            await pilot.press(key)
        await until_shown(pilot, text)
        await until_still(pilot)

    return go


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("place", PLACES)
def test_screens(make: Make, snap_compare: Compare, place: str, size: tuple[int, int]) -> None:
    app, _ = make()
    assert snap_compare(app, terminal_size=size, run_before=_to(*PLACES[place]))


@pytest.mark.parametrize("place", PLACES)
def test_without_colour(
    make: Make, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = make()
    assert snap_compare(app, terminal_size=(80, 24), run_before=_to(*PLACES[place]))


def test_ascii(make: Make, snap_compare: Compare) -> None:
    app, _ = make(ascii_only=True)
    assert snap_compare(app, terminal_size=(80, 24), run_before=_to("1", "Connect"))


def test_nobody_there(make: Make, snap_compare: Compare) -> None:
    async def wait(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "Nobody connected")

    app, _ = make(EMPTY)
    assert snap_compare(app, terminal_size=(80, 24), run_before=wait)


def test_too_small_still_shows_requests(make: Make, snap_compare: Compare) -> None:
    app, _ = make()
    assert snap_compare(app, terminal_size=(38, 8), run_before=_to("1", "too small"))
