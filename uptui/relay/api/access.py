"""Enforces the table of permissions: finds operation and caller, lets pass or refuses."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from uptui.errors import StateError
from uptui.relay.accounts.alias_rules import owner_of
from uptui.relay.accounts.tokens import TOKEN_PREFIX
from uptui.relay.api.permissions import OPEN, OPERATIONS, WEBSOCKET, Access, Principal, verdict
from uptui.relay.api.problems import problem, store_failed
from uptui.relay.api.rate_limit import TOO_OFTEN, Failures
from uptui.relay.services import RelayServices

LACKING: Final = {
    Access.HOST: "only an identity opens a control channel: log in with /v1/credentials",
    Access.WATCHER: "metrics need an API token with the scope 'read' and without an account",
    Access.READER: "this bearer token lacks the scope 'read'",
    Access.ADMIN: "this bearer token lacks the scope 'admin'",
}
NO_ALIASES: Final = "this bearer token owns no alias, or lacks the scope 'aliases'"
_CALLER: Final = "uptui_caller"
_PATTERNS: Final = [
    (compile_path(path)[0], method, access) for (method, path), access in OPERATIONS.items()
]

_bearer = HTTPBearer(
    auto_error=False, description="A credential from /v1/credentials, or an API token."
)


async def services_of(request: Request) -> RelayServices:
    """The relay that this app was made for."""
    services: RelayServices = request.app.state.services
    return services


Relay = Annotated[RelayServices, Depends(services_of)]


def caller_of(scope: Scope) -> Principal:
    """Who was let in to an operation that needs a bearer. Raises KeyError at any other."""
    caller: Principal = scope["state"][_CALLER]
    return caller


async def _documented(
    request: Request, _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """The caller; with the bearer as a parameter, so that the document says that one is needed."""
    return caller_of(request.scope)


Authorised = Annotated[Principal, Depends(_documented)]
"""The caller, whom the table has let pass."""


class AccessGuard:
    """ASGI middleware: no request or WebSocket reaches an operation but by the table."""

    def __init__(self, app: ASGIApp, services: RelayServices, failures: Failures) -> None:
        """`failures` bars a source that opened control channels with wrong bearers too often."""
        self._app = app
        self._services = services
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        refusal = None
        if scope["type"] in {"http", "websocket"}:
            try:
                refusal = await self._refusal(scope)
            except StateError as error:
                refusal = store_failed(error)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await refusal(scope, receive, send)
        else:
            await WebSocket(scope, receive, send).send_denial_response(refusal)

    async def _refusal(self, scope: Scope) -> Response | None:
        """Why this call ends here, or None."""
        found = _at(scope)
        access = found.get(_method(scope))
        if access is None:
            return _nothing(found)
        if access in OPEN:
            return None
        channel = access is Access.HOST
        if channel and self._failures.barred(_client(scope)):
            return problem(429, TOO_OFTEN)
        caller = await self._caller(scope)
        scope.setdefault("state", {})[_CALLER] = caller
        closed = bool(self._services.settings.hosting.only)
        match verdict(access, caller, watching=self._is_watching(scope), closed=closed):
            case "yes":
                return None
            case "no":
                return problem(403, LACKING.get(access, NO_ALIASES))
            case "who":
                if channel:
                    self._failures.failed(_client(scope))
                return _who("authorization" in Headers(scope=scope))

    async def _caller(self, scope: Scope) -> Principal | None:
        """Whom the bearer stands for; None when there is none that is valid."""
        scheme, _, bearer = Headers(scope=scope).get("authorization", "").partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != "bearer" or not bearer:
            return None
        authority = self._services.authority
        if bearer.startswith(TOKEN_PREFIX):
            token = await authority.token_of(bearer)
            if token is None:
                return None
            return Principal(f"account:{token.account}" if token.account else None, token.scopes)
        identity = await authority.identity_of(bearer)
        if identity is None:
            return None
        return Principal(owner_of(identity), frozenset({"aliases"}), identity)

    def _is_watching(self, scope: Scope) -> bool:
        """Whether metrics are public, or asked for from this machine and through no proxy, which
        would make everybody local."""
        if self._services.settings.public_metrics:
            return True
        client = _client(scope)
        if client is None or "x-forwarded-for" in Headers(scope=scope):
            return False
        try:
            return ip_address(client).is_loopback
        except ValueError:
            return False


def _at(scope: Scope) -> dict[str, Access]:
    """The operations at the path of this call, by method."""
    path: str = scope["path"]
    return {method: access for pattern, method, access in _PATTERNS if pattern.fullmatch(path)}


def _method(scope: Scope) -> str:
    return WEBSOCKET if scope["type"] == "websocket" else scope["method"]


def _nothing(found: Mapping[str, Access]) -> Response:
    """What is told of an operation without a row, whether or not the app has it."""
    methods = sorted({*found, *(["HEAD"] if "GET" in found else [])} - {WEBSOCKET})
    if methods:
        return problem(405, "Method Not Allowed", headers={"Allow": ", ".join(methods)})
    return problem(404, "there is nothing at this path")


def _who(given: bool) -> Response:
    what = "is unknown, expired or revoked" if given else "is needed"
    return problem(
        401,
        f"the bearer token {what}: log in with /v1/challenges and /v1/credentials, "
        "or use an API token",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _client(scope: Scope) -> str | None:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else None
