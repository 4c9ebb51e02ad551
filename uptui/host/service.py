"""What the host API may do to a running daemon: carries each call out on the parts."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from uptui.errors import ApiError
from uptui.host.api.events import Changes
from uptui.host.keys.identity import public_line
from uptui.host.live_settings import Tuning
from uptui.host.relay_link import RelayLink, aliases
from uptui.host.relay_link.relay_client import RelayClient
from uptui.host.relay_link.status import told
from uptui.host.share_commands import ShareCommands
from uptui.host.storage.event_log import RING, SHOWN, EventLog, read_back
from uptui.protocol import host_aliases
from uptui.protocol import host_api as api
from uptui.protocol.control import Refusal
from uptui.protocol.names import ClientId, Fingerprint, RequestId, RouteName

SETTLE: Final = 8.0
"""Seconds that an act waits for the relay to confirm changed names."""


@dataclass(frozen=True)
class Calls:
    """What the daemon does for acts."""

    url: Callable[[], api.Strings]
    settings_changed: Callable[[str], Awaitable[None]]
    stop: Callable[[str], None]
    doctor: Callable[[], Awaitable[list[api.Check]]]


class HostService:
    """Implements api.Host."""

    def __init__(
        self,
        share_commands: ShareCommands,
        link: RelayLink,
        log: EventLog,
        tuning: Tuning,
        changes: Changes,
        calls: Calls,
    ) -> None:
        self._commands = share_commands
        self._link = link
        self._log = log
        self._tuning = tuning
        self._changes = changes
        self._calls = calls
        self._naming = asyncio.Lock()

    def snapshot_json(self) -> bytes:
        return self._changes.snapshot_json()

    async def changed(self, seen: int, patience: float) -> int:
        return await self._changes.changed(seen, patience)

    def log_after(self, n: int) -> list[api.LogEntry]:
        return self._log.after(n, SHOWN)

    async def log(self, limit: int) -> list[api.LogEntry]:
        newest = self._log.newest
        if limit <= min(len(newest), RING):
            return newest[-limit:]
        counted = self._log.counted
        written = await asyncio.to_thread(self._from_disk, limit)
        return sorted(written + counted, key=lambda entry: entry.at)[-limit:]

    def _from_disk(self, limit: int) -> list[api.LogEntry]:
        self._log.flush()
        return read_back(self._log.path, limit)

    def url(self) -> api.Strings:
        return self._calls.url()

    async def approve(self, request: RequestId, how: api.Approve) -> None:
        self._commands.approve(self._request(request), how)

    async def deny(self, request: RequestId, how: api.Deny) -> None:
        self._commands.deny(self._request(request), how)

    def _request(self, given: str) -> str:
        """The id of the request, for which the id of its client may be given."""
        for pending in self._commands.parts().pending:
            if given in {pending.id, pending.client_id}:
                return pending.id
        return given

    async def kick(self, client: ClientId, how: api.Kick) -> None:
        self._commands.kick(client, how)

    async def kick_all(self, how: api.Kick) -> None:
        self._commands.kick_all(how)

    async def change_role(self, client: ClientId, role: str) -> None:
        self._commands.change_role(client, api.ChangeRole(role=role))

    async def say(self, client: ClientId, text: str) -> None:
        self._commands.say(client, api.Say(text=text))

    async def rotate(self, how: api.Rotate) -> api.Strings:
        """The new strings, without any while the relay is away."""
        self._commands.rotate(how)
        await self._link.wait_settled(SETTLE)
        return self.url()

    async def lock(self, *, locked: bool) -> None:
        self._commands.lock(api.Lock(locked=locked))

    async def invite(self, new: api.NewInvite) -> api.InviteView:
        made = self._commands.invite(new)
        await self._link.wait_settled(SETTLE)
        return next(invite for invite in self._commands.invites() if invite.route == made.route)

    def invites(self) -> list[api.InviteView]:
        return self._commands.invites()

    async def revoke(self, route: RouteName) -> None:
        self._commands.revoke(route)

    def people(self) -> list[api.PersonView]:
        return self._commands.people()

    async def edit_person(self, fingerprint: Fingerprint, change: api.EditPerson) -> None:
        self._commands.edit_person(fingerprint, change)

    async def forget_person(self, fingerprint: Fingerprint) -> None:
        self._commands.forget_person(fingerprint)

    def settings(self) -> list[api.Setting]:
        return self._tuning.rows()

    async def change_setting(self, key: str, value: api.SettingValue) -> None:
        await self._calls.settings_changed(self._tuning.change(key, value))

    async def doctor(self) -> list[api.Check]:
        return await self._calls.doctor()

    async def aliases(self) -> list[host_aliases.AliasView]:
        async with self._relay() as client:
            return await aliases.listed(client, self._tuning.alias)

    async def alias_available(self, name: str) -> host_aliases.AliasAvailability:
        async with self._relay() as client:
            return await aliases.available(client, name)

    async def set_alias(self, name: str | None) -> api.Strings:
        """Raises ApiError with the relay's reason when it refuses; the old alias then stays."""
        async with self._naming:
            old = self._tuning.alias
            self._link.status.lost.clear()
            self._tuning.choose_alias(name)
            await self._calls.settings_changed("host.alias")
            settled = await self._link.wait_settled(SETTLE)
            refusal = self._refusal(name)
            if refusal is not None:
                self._tuning.choose_alias(old)
                await self._calls.settings_changed("host.alias")
                raise ApiError(409, "The relay refused the alias", told(refusal))
            self._tuning.remember_alias()
            if not settled:
                raise ApiError(
                    502, "The relay has not answered", "the alias is claimed once it is back"
                )
            return self.url()

    def _refusal(self, name: str | None) -> Refusal | None:
        return next((found for found in self._link.status.refused if found.name == name), None)

    async def release_alias(self, name: str) -> None:
        async with self._naming:
            await self._leave(name)
            async with self._relay() as client:
                await client.release(name)

    async def transfer_alias(self, name: str, to: str) -> host_aliases.AliasView:
        async with self._naming:
            await self._leave(name)
            async with self._relay() as client:
                return await aliases.transferred(client, name, to)

    async def rotate_alias_key(self, name: str) -> host_aliases.AliasView:
        """A share that was refused its own alias for its key is reached by it from now on."""
        async with self._relay() as client:
            host_key = public_line(self._link.settings.key)
            kept = await aliases.repinned(client, name, host_key, self._tuning.alias)
        if self._refusal(name) is not None:
            self._link.reconnect()
        return kept

    async def _leave(self, name: str) -> None:
        """Serve under this alias no more."""
        if name == self._tuning.alias:
            self._tuning.choose_alias(None)
            await self._calls.settings_changed("host.alias")
            await self._link.wait_settled(SETTLE)
            self._tuning.remember_alias()

    async def reconnect(self) -> None:
        self._link.reconnect()

    def stop(self, reason: str) -> None:
        self._calls.stop(reason)

    @asynccontextmanager
    async def _relay(self) -> AsyncGenerator[RelayClient]:
        client = await self._link.client()
        try:
            yield client
        finally:
            await client.close()
