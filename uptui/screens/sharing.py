"""Acts about the share itself: rotate, lock, invites, alias, settings, stop."""

from typing import Final

from uptui.protocol.host_aliases import AliasView
from uptui.protocol.host_api import InviteView, Setting, SettingValue, TerminalView
from uptui.protocol.names import alias_problem
from uptui.screens.copying import Copying
from uptui.screens.dialogs import Confirm, Prompt
from uptui.screens.host_calls import HostCalls
from uptui.widgets import formatting

INVITATION: Final = "invitation"
"""Name of the ready-to-send text among the strings of an invite."""


class Sharing:
    """What `r`, `R`, `L`, `i` do, and the acts of the relay and settings screens."""

    def __init__(self, calls: HostCalls, copying: Copying) -> None:
        self._calls = calls
        self._copying = copying

    async def rotate(self) -> None:
        await self._calls.client.rotate()
        self._calls.say("New token: the old string is dead, connected clients stay. c copies it.")

    async def rotate_and_kick(self) -> None:
        count = len(self._calls.view.clients)
        consequence = (
            f"The old string stops working and {formatting.many(count, 'client')} "
            "are disconnected at once. Invites and the alias stay."
        )
        if await self._calls.ask(
            Confirm("Rotate and disconnect everyone?", consequence, "Rotate and kick")
        ):
            await self._calls.client.rotate(kick=True)
            self._calls.say("New token, and everybody was disconnected. c copies the string.")

    async def lock(self) -> None:
        snapshot = self._calls.view.snapshot
        if snapshot is None:
            return
        locked = not snapshot.share.locked
        await self._calls.client.lock(locked=locked)
        text = "Locked: nobody new gets in." if locked else "Unlocked: new clients may join."
        self._calls.undoable(text, lambda: self._calls.client.lock(locked=not locked))

    async def invite(self) -> None:
        from uptui.screens.invite_wizard import InviteWizard

        snapshot = self._calls.view.snapshot
        roles = snapshot.roles if snapshot is not None else []
        new = await self._calls.ask(InviteWizard(roles or ["developer"]))
        if new is None:
            return
        invite = await self._calls.client.invite(new)
        await self.show_invite(invite)

    async def show_invite(self, invite: InviteView) -> None:
        """The commands of an invite, to send to its guest."""
        texts = invite.strings or {"name": invite.route}
        if INVITATION in texts:  # what to send as it is comes first
            texts = {INVITATION: texts[INVITATION], **texts}
        await self._copying.texts(
            f"Invite for {invite.name}",
            texts,
            "Send the invitation as it is, or one of the commands.",
            codes={INVITATION: texts.get("web") or texts.get("ssh", invite.route)},
        )

    async def revoke(self, invite: InviteView) -> None:
        consequence = (
            f"The invite of {invite.name} ({invite.role}) stops working at once. "
            "Who came in by it stays connected."
        )
        if await self._calls.ask(Confirm(f"Revoke {invite.name}?", consequence, "Revoke")):
            await self._calls.client.revoke(invite.route)
            self._calls.say(f"The invite of {invite.name} is revoked.")

    async def claim_alias(self) -> None:
        snapshot = self._calls.view.snapshot
        before = snapshot.share.alias if snapshot is not None else None
        name = await self._calls.ask(
            Prompt(
                "AliasView",
                "A name that stays: a-z, 0-9 and '-'. The relay keeps it for this identity.",
                value=before or "",
                problem=alias_problem,
                verb="Claim",
            )
        )
        if not name or name == before:
            return
        answer = await self._calls.client.alias_available(name)
        if not answer.available:
            free = f" Free: {', '.join(answer.suggestions)}." if answer.suggestions else ""
            self._calls.complain(f"{name} is not free: {answer.reason or 'taken'}.{free}")
            return
        await self._calls.client.set_alias(name)
        self._calls.undoable(f"Sharing as {name}.", lambda: self._calls.client.set_alias(before))

    async def release_alias(self, alias: AliasView) -> None:
        consequence = (
            f"Anybody may claim {alias.name} afterwards, and strings that use it stop working."
        )
        if await self._calls.ask(Confirm(f"Release {alias.name}?", consequence, "Release")):
            await self._calls.client.release_alias(alias.name)
            self._calls.say(f"{alias.name} is free again.")

    async def reconnect(self) -> None:
        await self._calls.client.reconnect()
        self._calls.say("Reconnecting to the relay.")

    async def change_setting(self, setting: Setting) -> None:
        """Edit a live setting; booleans flip, everything else is typed."""
        if not setting.live:
            self._calls.say(f"{setting.key} takes effect at the next start: set it in the file.")
            return
        if isinstance(setting.value, bool):
            await self._store(setting, not setting.value, "no" if setting.value else "yes")
            return
        typed = await self._calls.ask(
            Prompt(setting.key, setting.help, value=setting.text, verb="Change")
        )
        if typed is not None and typed != setting.text:
            await self._store(setting, _parsed(typed, setting.value), typed or "not set")

    async def _store(self, setting: Setting, value: SettingValue, text: str) -> None:
        await self._calls.client.change_setting(setting.key, value)
        self._calls.undoable(
            f"{setting.key} is now {text}.",
            lambda: self._calls.client.change_setting(setting.key, setting.value),
        )

    async def record(self) -> None:
        """Record the shared terminal, or stop recording it."""
        snapshot = self._calls.view.snapshot
        if snapshot is None:
            return
        on = not snapshot.share.recording
        await self._calls.client.record(on=on)
        text = "The shared terminal is recorded; its viewers are told." if on else "Not recorded."
        self._calls.undoable(text, lambda: self._calls.client.record(on=not on))

    async def end_terminal(self, terminal: TerminalView) -> None:
        whose = (
            f"the shell kept for {terminal.owner}"
            if terminal.kind == "kept"
            else f"the program that {terminal.owner} left running"
            if terminal.kind == "left"
            else (f"the shared terminal, with {formatting.many(terminal.viewers, 'viewer')} in it")
        )
        consequence = f"Everything that runs in {whose} is ended at once."
        if await self._calls.ask(Confirm(f"End {terminal.id}?", consequence, "End it")):
            await self._calls.client.end_terminal(terminal.id)
            self._calls.say(f"Ended: {whose}.")

    async def stop(self) -> None:
        count = len(self._calls.view.clients)
        consequence = (
            f"The host daemon ends, and with it {formatting.many(count, 'connection')} and every "
            "kept shell. The alias and the host key stay for next time. To leave it running, "
            "press q."
        )
        if await self._calls.ask(Confirm("Stop sharing?", consequence, "Stop sharing")):
            await self._calls.client.stop()
            self._calls.app.exit(message="uptui: sharing has stopped.")


def _parsed(text: str, old: SettingValue) -> SettingValue:
    """`text` as the type that the setting has now; the daemon has the last word."""
    if not text:
        return None
    if isinstance(old, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(old, int | float) or old is None:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text
