"""Reading an app's screen as a person would, and waiting for what it will show."""

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot

DEADLINE = 30.0
STILL = 10


def shown(pilot: Pilot[None]) -> str:
    """The text of the screen, line by line."""
    strips = pilot.app.screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]
    return "\n".join(strip.text for strip in strips)


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Wait until `condition` holds; fails with the screen's text when it never does."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, shown(pilot)
        await pilot.pause()
        await asyncio.sleep(0.01)


async def until_shown(pilot: Pilot[None], text: str) -> None:
    """Wait until `text` is somewhere on the screen."""
    await until(pilot, lambda: text in shown(pilot))


async def until_still(pilot: Pilot[None]) -> None:
    """Wait until the screen has stayed the same over several turns: scrolling takes a few."""
    seen: list[str] = []

    def still() -> bool:
        seen.append(shown(pilot))
        return len(seen) >= STILL and len(set(seen[-STILL:])) == 1

    await until(pilot, still)


async def click_on(
    pilot: Pilot[None], text: str, *, times: int = 1, aim: int | None = None
) -> None:
    """Click where `text` first stands, at its middle or at its cell `aim`, with the mouse alone."""
    await until_shown(pilot, text)
    for y, line in enumerate(shown(pilot).splitlines()):
        x = line.find(text)
        if x >= 0:
            await pilot.click(offset=(x + (len(text) // 2 if aim is None else aim), y), times=times)
            await pilot.pause()
            return
