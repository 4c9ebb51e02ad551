"""The host API: HTTP on a Unix socket; parses, calls the daemon, encodes; decides nothing.

The daemon is seen as a Host; what it raises becomes problem details (RFC 9457).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from uptui.errors import (
    ApiError,
    ConfigError,
    ProtocolError,
    RefusedError,
    RelayError,
    RelayRefusedError,
    StateError,
    UptuiError,
)
from uptui.protocol import host_aliases
from uptui.protocol import host_api as api
from uptui.protocol.names import ClientId, Fingerprint, RequestId, RouteName

MAX_BODY_BYTES: Final = 64 * 1024
MAX_STREAMS: Final = 32
"""Event streams open at the same time."""
COALESCE: Final = 0.1
"""Least seconds between two snapshots of one stream."""
QUIET: Final = 15.0
"""Seconds without any change after which a comment shows that the stream lives."""

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


class Host(Protocol):
    """The daemon, as the API calls it. Methods raise UptuiError with words for people."""

    def snapshot_json(self) -> bytes: ...
    def log_after(self, n: int) -> list[api.LogEntry]:
        """The newest entries with a greater number, oldest first."""
        ...

    async def log(self, limit: int) -> list[api.LogEntry]: ...
    async def changed(self, seen: int, patience: float) -> int:
        """Wait until the revision differs from `seen`, or so many seconds; returns it.

        Negative once the daemon stops.
        """
        ...

    def url(self) -> api.Strings: ...
    async def approve(self, request: RequestId, how: api.Approve) -> None: ...
    async def deny(self, request: RequestId, how: api.Deny) -> None: ...
    async def kick(self, client: ClientId, how: api.Kick) -> None: ...
    async def kick_all(self, how: api.Kick) -> None: ...
    async def change_role(self, client: ClientId, role: str) -> None: ...
    async def say(self, client: ClientId, text: str) -> None: ...
    async def rotate(self, how: api.Rotate) -> api.Strings: ...
    async def lock(self, *, locked: bool) -> None: ...
    async def invite(self, new: api.NewInvite) -> api.InviteView: ...
    def invites(self) -> list[api.InviteView]: ...
    async def revoke(self, route: RouteName) -> None: ...
    def people(self) -> list[api.PersonView]: ...
    async def edit_person(self, fingerprint: Fingerprint, change: api.EditPerson) -> None: ...
    async def forget_person(self, fingerprint: Fingerprint) -> None: ...
    def settings(self) -> list[api.Setting]: ...
    async def change_setting(self, key: str, value: api.SettingValue) -> None: ...
    async def doctor(self) -> list[api.Check]: ...
    async def aliases(self) -> list[host_aliases.AliasView]: ...
    async def alias_available(self, name: str) -> host_aliases.AliasAvailability: ...
    async def set_alias(self, name: str | None) -> api.Strings: ...
    async def release_alias(self, name: str) -> None: ...
    async def transfer_alias(self, name: str, to: str) -> host_aliases.AliasView: ...
    async def rotate_alias_key(self, name: str) -> host_aliases.AliasView: ...
    async def reconnect(self) -> None: ...
    def stop(self, reason: str) -> None: ...


def problem(status: int, title: str, detail: str) -> Response:
    """A problem+json answer."""
    body = api.HostProblem(title=title, status=status, detail=detail)
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


_STATUS: Final[tuple[tuple[type[UptuiError], int, str], ...]] = (
    (ConfigError, 422, "This value does not fit"),
    (ProtocolError, 422, "The request is not understood"),
    (RefusedError, 409, "Not possible"),
    (RelayRefusedError, 409, "The relay refused"),
    (RelayError, 502, "The relay cannot be used"),
    (StateError, 507, "The state cannot be saved"),
)


def _translated(error: UptuiError) -> Response:
    if isinstance(error, ApiError):
        return problem(error.status, error.title, error.detail)
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            return problem(status, title, str(error))
    return problem(500, "The daemon failed", str(error))


async def _uptui_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, UptuiError)
    return _translated(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, f"{request.method} {request.url.path}")


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _body(request: Request, kind: type[T]) -> T:
    """The decoded body. Raises ApiError 413 and ProtocolError naming the wrong field."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY_BYTES:
            raise ApiError(413, "The body is too large", f"the limit is {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(bytes(received) or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError(f"body of {request.method} {request.url.path}: {error}") from error


def _done(_: None) -> Response:
    return Response(status_code=204)


class _Events:
    """GET /v1/events: pulls from the host, so a slow reader only skips snapshots."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._open = 0

    async def handle(self, _request: Request) -> Response:
        if self._open >= MAX_STREAMS:
            raise ApiError(503, "Too many event streams", f"{MAX_STREAMS} are open already")
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            seen = -1
            last = 0
            while True:
                revision = await self._host.changed(seen, QUIET)
                if revision < 0:
                    return
                started = time.monotonic()
                if revision == seen:
                    yield b": quiet\n\n"
                    continue
                seen = revision
                entries = self._host.log_after(last)
                shown, last = last, entries[-1].n if entries else last
                for entry in entries if shown else []:
                    yield b"event: log\ndata: " + msgspec.json.encode(entry) + b"\n\n"
                yield b"event: snapshot\ndata: " + self._host.snapshot_json() + b"\n\n"
                await asyncio.sleep(max(0.0, COALESCE - (time.monotonic() - started)))
        finally:
            self._open -= 1


def _requests(host: Host) -> list[Route]:
    async def approve(request: Request) -> Response:
        how = await _body(request, api.Approve)
        return _done(await host.approve(RequestId(request.path_params["id"]), how))

    async def deny(request: Request) -> Response:
        how = await _body(request, api.Deny)
        return _done(await host.deny(RequestId(request.path_params["id"]), how))

    return [
        Route("/v1/requests/{id}/approve", approve, methods=["POST"]),
        Route("/v1/requests/{id}/deny", deny, methods=["POST"]),
    ]


def _clients(host: Host) -> list[Route]:
    def client(request: Request) -> ClientId:
        return ClientId(request.path_params["id"])

    async def kick(request: Request) -> Response:
        return _done(await host.kick(client(request), await _body(request, api.Kick)))

    async def kick_all(request: Request) -> Response:
        return _done(await host.kick_all(await _body(request, api.Kick)))

    async def role(request: Request) -> Response:
        change = await _body(request, api.ChangeRole)
        return _done(await host.change_role(client(request), change.role))

    async def message(request: Request) -> Response:
        return _done(await host.say(client(request), (await _body(request, api.Say)).text))

    return [
        Route("/v1/clients/kick-all", kick_all, methods=["POST"]),
        Route("/v1/clients/{id}/kick", kick, methods=["POST"]),
        Route("/v1/clients/{id}/role", role, methods=["POST"]),
        Route("/v1/clients/{id}/message", message, methods=["POST"]),
    ]


def _share(host: Host) -> list[Route]:
    async def snapshot(_request: Request) -> Response:
        return Response(host.snapshot_json(), media_type="application/json")

    async def url(_request: Request) -> Response:
        return _json(host.url())

    async def rotate(request: Request) -> Response:
        return _json(await host.rotate(await _body(request, api.Rotate)))

    async def lock(request: Request) -> Response:
        return _done(await host.lock(locked=(await _body(request, api.Lock)).locked))

    async def log(request: Request) -> Response:
        limit = request.query_params.get("limit", "200")
        if not limit.isdecimal() or not 1 <= int(limit) <= api.MAX_LOG_ENTRIES:
            raise ProtocolError(f"limit: expected 1 to {api.MAX_LOG_ENTRIES}, not {limit!r}")
        return _json(await host.log(int(limit)))

    async def stop(_request: Request) -> Response:
        return _done(host.stop("uptui stop"))

    return [
        Route("/v1/snapshot", snapshot),
        Route("/v1/events", _Events(host).handle),
        Route("/v1/url", url),
        Route("/v1/rotate", rotate, methods=["POST"]),
        Route("/v1/lock", lock, methods=["PUT"]),
        Route("/v1/log", log),
        Route("/v1/stop", stop, methods=["POST"]),
    ]


def _people(host: Host) -> list[Route]:
    async def invites(request: Request) -> Response:
        if request.method == "POST":
            return _json(await host.invite(await _body(request, api.NewInvite)), 201)
        return _json(host.invites())

    async def revoke(request: Request) -> Response:
        return _done(await host.revoke(RouteName(request.path_params["route"])))

    async def people(_request: Request) -> Response:
        return _json(host.people())

    async def person(request: Request) -> Response:
        fingerprint = Fingerprint(request.path_params["fingerprint"])
        if request.method == "DELETE":
            return _done(await host.forget_person(fingerprint))
        return _done(await host.edit_person(fingerprint, await _body(request, api.EditPerson)))

    return [
        Route("/v1/invites", invites, methods=["GET", "POST"]),
        Route("/v1/invites/{route}", revoke, methods=["DELETE"]),
        Route("/v1/people", people),
        Route("/v1/people/{fingerprint:path}", person, methods=["PATCH", "DELETE"]),
    ]


def _machine(host: Host) -> list[Route]:
    async def settings(_request: Request) -> Response:
        return _json(host.settings())

    async def setting(request: Request) -> Response:
        change = await _body(request, api.ChangeSetting)
        return _done(await host.change_setting(request.path_params["key"], change.value))

    async def doctor(_request: Request) -> Response:
        return _json(await host.doctor())

    return [
        Route("/v1/settings", settings),
        Route("/v1/settings/{key}", setting, methods=["PUT"]),
        Route("/v1/doctor", doctor),
    ]


def _relay(host: Host) -> list[Route]:
    async def aliases(_request: Request) -> Response:
        return _json(await host.aliases())

    async def available(request: Request) -> Response:
        return _json(await host.alias_available(request.path_params["name"]))

    async def set_alias(request: Request) -> Response:
        return _json(await host.set_alias((await _body(request, host_aliases.SetAlias)).name))

    async def release(request: Request) -> Response:
        return _done(await host.release_alias(request.path_params["name"]))

    async def transfer(request: Request) -> Response:
        wish = await _body(request, host_aliases.TransferAlias)
        return _json(await host.transfer_alias(request.path_params["name"], wish.to))

    async def rotate_key(request: Request) -> Response:
        return _json(await host.rotate_alias_key(request.path_params["name"]))

    async def reconnect(_request: Request) -> Response:
        return _done(await host.reconnect())

    return [
        Route("/v1/aliases", aliases),
        Route("/v1/names/{name}", available),
        Route("/v1/alias", set_alias, methods=["PUT"]),
        Route("/v1/aliases/{name}", release, methods=["DELETE"]),
        Route("/v1/aliases/{name}/transfer", transfer, methods=["POST"]),
        Route("/v1/aliases/{name}/rotate-key", rotate_key, methods=["POST"]),
        Route("/v1/relay/reconnect", reconnect, methods=["POST"]),
    ]


def application(host: Host, further: Sequence[BaseRoute] = ()) -> Starlette:
    """The ASGI application over one daemon; `further` are the routes of its terminals."""
    routes: list[BaseRoute] = [
        *_share(host),
        *_requests(host),
        *_clients(host),
        *_people(host),
        *_machine(host),
        *_relay(host),
        *further,
    ]
    handlers: dict[Any, Any] = {UptuiError: _uptui_error, HTTPException: _http_error}
    return Starlette(routes=routes, exception_handlers=handlers)
