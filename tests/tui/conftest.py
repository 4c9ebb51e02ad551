"""A terminal whose locale, time zone and clock never change."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.tui.sample import NOW, SampleClient, snapshot
from uptui.app import Looks, UptuiApp
from uptui.protocol.host_api import Snapshot

Make = Callable[..., tuple[UptuiApp, SampleClient]]


@pytest.fixture(autouse=True)
def fixed_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC, UTF-8, colours, and no tmux around the test."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TMUX", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def make() -> Make:
    """Makes an app on a sample host; the clock stands still."""

    def making(
        first: Snapshot | None = None,
        *,
        ascii_only: bool = False,
        keymap: dict[str, str] | None = None,
    ) -> tuple[UptuiApp, SampleClient]:
        client = SampleClient(first or snapshot())
        looks = Looks(ascii="always" if ascii_only else "never")
        app = UptuiApp(lambda: client, clock=lambda: NOW, looks=looks, keymap=keymap)
        return app, client

    return making
