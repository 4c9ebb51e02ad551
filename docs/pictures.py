"""Makes docs/pictures/*.svg from the real terminal interface on a sample share.

Run it from the repository: `.venv/bin/python docs/pictures.py`.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.tui.sample import NOW, SampleClient, snapshot  # noqa: E402
from tests.tui.screen import until_shown  # noqa: E402
from uptui.app import Looks, UptuiApp  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SMALL = (80, 24)
LARGE = (130, 36)


async def picture(
    name: str, size: tuple[int, int], keys: Sequence[str], text: str, looks: Looks | None = None
) -> None:
    """Press `keys`, wait for `text`, and keep the screen as docs/pictures/NAME.svg."""
    client = SampleClient(snapshot())
    app = UptuiApp(lambda: client, clock=lambda: NOW, looks=looks or Looks(ascii="never"))
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "alice")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await until_shown(pilot, text)
        svg = app.export_screenshot(title="uptui")
    await asyncio.to_thread((PICTURES / f"{name}.svg").write_text, svg)


async def main() -> None:
    """All pictures of the documentation."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    PICTURES.mkdir(exist_ok=True)
    await picture("dashboard", SMALL, (), "Connect")
    await picture("dashboard-wide", LARGE, (), "Connect")
    await picture("invites", SMALL, ("2",), "used-up")
    await picture("relay", SMALL, ("3", "T"), "direct port")
    await picture("ports", SMALL, ("4",), "postgres")
    await picture("clients", SMALL, ("5",), "mallory")
    await picture("client", SMALL, ("enter",), "Timeline")
    await picture("log", SMALL, ("6",), "LIVE")
    await picture("settings", SMALL, ("7",), "access.unknown")
    await picture("review", SMALL, ("a",), "Leave them waiting")
    await picture("kick", SMALL, ("x",), "Kick bob?")
    await picture("formats", SMALL, ("C",), "sftp")
    await picture("qr", LARGE, ("Q",), "█▀▀▀▀▀█")
    await picture("help", LARGE, ("question_mark",), "Keys of this screen")
    await picture("ascii", SMALL, (), "Connect", Looks(ascii="always"))


if __name__ == "__main__":
    asyncio.run(main())
