"""Acts that hand text out: copy, formats, QR codes, files."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from uptui.screens import clipboard
from uptui.screens.host_calls import HostCalls
from uptui.widgets.connect import primary


class Copying:
    """What `c`, `C` and `Q` do, for the share's strings or any other texts."""

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def copy(self, text: str, what: str) -> None:
        """Send `text` to the clipboard and say where to get it when that did not work."""
        await clipboard.send(self._calls.app, text)
        self._calls.say(f"Sent to clipboard: {what}. C shows it as plain text.")

    async def copy_primary(self) -> None:
        kind, text = self._primary()
        if text:
            await self.copy(text, f"the {kind} string")
        else:
            self._calls.say("There is no string yet: the relay has not answered.")

    async def formats(self) -> None:
        """Every format of the share's string."""
        snapshot = self._calls.view.snapshot
        strings = {} if snapshot is None else snapshot.url.strings
        if not strings:
            self._calls.say("There is no string yet: the relay has not answered.")
            return
        await self.texts("Connect with", strings)

    async def qr_primary(self) -> None:
        snapshot = self._calls.view.snapshot
        kind, text = self._primary()
        if snapshot is not None and "web" in snapshot.url.strings:
            kind, text = "web", snapshot.url.strings["web"]
        if text:
            await self.qr(text, f"{kind} string")

    async def qr(self, text: str, title: str) -> None:
        from uptui.screens.copy_formats import QrCode

        await self._calls.ask(QrCode(title, text))

    async def texts(
        self,
        title: str,
        texts: Mapping[str, str],
        intro: str = "",
        *,
        codes: Mapping[str, str] | None = None,
    ) -> None:
        """Show texts to choose from, and do what was chosen.

        `codes` are what the QR codes of texts too long for one stand for.
        """
        from uptui.screens.copy_formats import Texts

        taken = await self._calls.ask(Texts(title, texts, intro))
        if taken is None:
            return
        if taken.how == "copy":
            await self.copy(taken.text, taken.name)
        elif taken.how == "qr":
            await self.qr((codes or {}).get(taken.name, taken.text), taken.name)
        else:
            await self.write(taken.text, f"uptui-{taken.name.lower().replace(' ', '-')}.txt")

    async def write(self, text: str, suggestion: str) -> None:
        """Ask for a path and write `text` there."""
        from uptui.screens.dialogs import Prompt

        path = await self._calls.ask(
            Prompt(
                "Write to a file",
                "Only you will be able to read it; an existing file is left alone.",
                value=str(Path.cwd() / suggestion),
                problem=lambda value: None if value else "give a path",
                verb="Write",
            )
        )
        if path:
            written = await asyncio.to_thread(clipboard.write, Path(path), text)
            self._calls.say(f"Written: {written}")

    def _primary(self) -> tuple[str, str]:
        snapshot = self._calls.view.snapshot
        return ("", "") if snapshot is None else primary(snapshot.url)
