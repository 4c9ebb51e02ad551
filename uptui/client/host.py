"""The host API as typed calls: one method per endpoint, host_api models in and out.

Every method raises NotRunningError when no daemon answers on the socket and ApiError when the
daemon refuses. Reconnecting is the caller's business.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from uptui.client.transport import EVENTS_READ_TIMEOUT, call, events_of, open_client
from uptui.errors import ConfigError
from uptui.protocol.host_aliases import AliasAvailability, AliasView, SetAlias, TransferAlias
from uptui.protocol.host_api import (
    Approve,
    ChangeRole,
    ChangeSetting,
    Check,
    Deny,
    EditPerson,
    InviteView,
    Kick,
    Lock,
    LogEntry,
    NewInvite,
    PersonView,
    Rotate,
    Say,
    Setting,
    SettingValue,
    Snapshot,
    Strings,
)
from uptui.protocol.names import ClientId, Fingerprint, RequestId, RouteName
from uptui.protocol.terminal import RecordingChange

T = TypeVar("T")

Event = Snapshot | LogEntry
"""What the event stream carries."""

_EVENT_TYPES: Final[dict[str, type[Snapshot] | type[LogEntry]]] = {
    "snapshot": Snapshot,
    "log": LogEntry,
}


def _segment(text: str) -> str:
    """A name or id as one part of a path. Raises ConfigError for what can be neither."""
    if text in {"", ".", ".."}:
        raise ConfigError(repr(text), "no name or id is written like this")
    return quote(text, safe="")


class HostClient:
    """A connection to one host daemon; use as an async context manager, or call `close`."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._http: httpx.AsyncClient = open_client(socket)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection to the daemon."""
        await self._http.aclose()

    async def _get(self, path: str, kind: type[T], **query: str | int) -> T:
        return await call(self._http, "GET", path, kind, query=query)

    async def _send(self, method: str, path: str, body: msgspec.Struct | None = None) -> None:
        await call(self._http, method, path, None, body=body)

    async def snapshot(self) -> Snapshot:
        """Everything at this moment."""
        return await self._get("/v1/snapshot", Snapshot)

    async def events(self) -> AsyncIterator[Event]:
        """A Snapshot at once, then one after every change, with each log entry between them.

        Ends when the daemon stops; raises NotRunningError when the connection is lost.
        """
        async for name, data in events_of(self._http, "/v1/events", EVENTS_READ_TIMEOUT):
            kind = _EVENT_TYPES.get(name)
            if kind is not None:
                yield msgspec.json.decode(data, type=kind)

    async def url(self) -> Strings:
        """The strings that people connect with."""
        return await self._get("/v1/url", Strings)

    async def approve(
        self,
        request: RequestId,
        *,
        role: str | None = None,
        remember: bool = False,
        name: str | None = None,
    ) -> None:
        """Let somebody in who waits. `request` may be the id of the request or of the client."""
        body = Approve(role=role, remember=remember, name=name)
        await self._send("POST", f"/v1/requests/{_segment(request)}/approve", body)

    async def deny(self, request: RequestId, *, block: bool = False) -> None:
        """Refuse somebody who waits; `block` refuses their key from now on."""
        await self._send("POST", f"/v1/requests/{_segment(request)}/deny", Deny(block=block))

    async def kick(self, client: ClientId, *, message: str = "", block: bool = False) -> None:
        """Disconnect one client, telling them `message`."""
        body = Kick(message=message, block=block)
        await self._send("POST", f"/v1/clients/{_segment(client)}/kick", body)

    async def kick_all(self, *, message: str = "", block: bool = False) -> None:
        """Disconnect everybody, telling them `message`; `block` refuses their keys from now on."""
        body = Kick(message=message, block=block)
        await self._send("POST", "/v1/clients/kick-all", body)

    async def change_role(self, client: ClientId, role: str) -> None:
        """Give a connected client another role, at once."""
        await self._send("POST", f"/v1/clients/{_segment(client)}/role", ChangeRole(role=role))

    async def say(self, client: ClientId, text: str) -> None:
        """Show one line in the terminals of a client."""
        await self._send("POST", f"/v1/clients/{_segment(client)}/message", Say(text=text))

    async def rotate(self, *, kick: bool = False) -> Strings:
        """Replace the session token; answers with the new strings. Connected clients stay."""
        return await call(self._http, "POST", "/v1/rotate", Strings, body=Rotate(kick=kick))

    async def lock(self, *, locked: bool = True) -> None:
        """Refuse, or again allow, new clients."""
        await self._send("PUT", "/v1/lock", Lock(locked=locked))

    async def invite(self, new: NewInvite) -> InviteView:
        """Make an invite."""
        return await call(self._http, "POST", "/v1/invites", InviteView, body=new)

    async def invites(self) -> list[InviteView]:
        """All invites, revoked and used-up ones too."""
        return await self._get("/v1/invites", list[InviteView])

    async def revoke(self, route: RouteName) -> None:
        """End an invite; `route` may be its route name or the name it was given."""
        await self._send("DELETE", f"/v1/invites/{_segment(route)}")

    async def people(self) -> list[PersonView]:
        """Everybody the host remembers by key."""
        return await self._get("/v1/people", list[PersonView])

    async def edit_person(self, fingerprint: Fingerprint, change: EditPerson) -> None:
        """Rename, change the role of, block or unblock somebody."""
        await self._send("PATCH", f"/v1/people/{_segment(fingerprint)}", change)

    async def forget_person(self, fingerprint: Fingerprint) -> None:
        """Forget a remembered key."""
        await self._send("DELETE", f"/v1/people/{_segment(fingerprint)}")

    async def end_terminal(self, terminal: str) -> None:
        """End the shared terminal ("shared") or a kept shell, by its id."""
        await self._send("POST", f"/v1/terminals/{_segment(terminal)}/end")

    async def record(self, *, on: bool) -> None:
        """Record the shared terminal from now on, or stop; its viewers are told."""
        await self._send("PUT", "/v1/terminals/shared/recording", RecordingChange(recording=on))

    async def settings(self) -> list[Setting]:
        """Every setting with its value and where it came from."""
        return await self._get("/v1/settings", list[Setting])

    async def change_setting(self, key: str, value: SettingValue) -> None:
        """Change a live setting until the daemon stops; null gives it its old value back."""
        await self._send("PUT", f"/v1/settings/{_segment(key)}", ChangeSetting(value=value))

    async def log(self, *, limit: int = 200) -> list[LogEntry]:
        """The newest log entries, oldest first."""
        return await self._get("/v1/log", list[LogEntry], limit=limit)

    async def doctor(self) -> list[Check]:
        """Test the way to the relay and the machine; takes seconds."""
        return await call(self._http, "GET", "/v1/doctor", list[Check], read_timeout=90.0)

    async def aliases(self) -> list[AliasView]:
        """The aliases that this identity owns on the relay."""
        return await self._get("/v1/aliases", list[AliasView])

    async def alias_available(self, name: str) -> AliasAvailability:
        """Whether an alias is free on the relay."""
        return await self._get(f"/v1/names/{_segment(name)}", AliasAvailability)

    async def set_alias(self, name: str | None) -> Strings:
        """Serve under this alias from now on (None: under no alias) and remember it."""
        return await call(self._http, "PUT", "/v1/alias", Strings, body=SetAlias(name=name))

    async def release_alias(self, name: str) -> None:
        """Give an alias back to the relay for anybody to take."""
        await self._send("DELETE", f"/v1/aliases/{_segment(name)}")

    async def transfer_alias(self, name: str, to: str) -> AliasView:
        """Give an alias to the identity with this public key."""
        path = f"/v1/aliases/{_segment(name)}/transfer"
        return await call(self._http, "POST", path, AliasView, body=TransferAlias(to=to))

    async def rotate_alias_key(self, name: str) -> AliasView:
        """Pin an alias of ours to this daemon's host key."""
        return await call(self._http, "POST", f"/v1/aliases/{_segment(name)}/rotate-key", AliasView)

    async def reconnect(self) -> None:
        """Drop the link to the relay and open it again now; the way back after "superseded"."""
        await self._send("POST", "/v1/relay/reconnect")

    async def stop(self) -> None:
        """End the share and the daemon."""
        await self._send("POST", "/v1/stop")
