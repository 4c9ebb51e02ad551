"""What every request passes: request id, rate limit, body limit, log line, and no bare 500."""

import re
import secrets
import time
from email.utils import formatdate
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uptui.protocol.relay_api import PREFIX
from uptui.relay import logs
from uptui.relay.api.problems import problem
from uptui.relay.api.rate_limit import RateSettings, RequestLimiter
from uptui.relay.services import RelayServices

MAX_BODY: Final = 64 * 1024
MAX_RESTORE_BODY: Final = 512 * 1024 * 1024
RESTORE_PATH: Final = f"{PREFIX}/restore"
LOGIN_PATHS: Final = frozenset({f"{PREFIX}/challenges", f"{PREFIX}/credentials"})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")

_log = logs.logger("uptui.relay.api")


class ApiGuard:
    """ASGI middleware around the app; WebSockets pass through with a request id only."""

    def __init__(self, app: ASGIApp, services: RelayServices) -> None:
        self._app = app
        self._services = services
        settings = services.settings
        self._limiter = RequestLimiter(
            RateSettings(settings.requests_per_minute, settings.logins_per_minute)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_urlsafe(9)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
            else:
                await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.monotonic()
        status = 0
        if scope["method"] == "HEAD":  # the server leaves the body of the answer out
            scope = {**scope, "method": "GET"}

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["Date"] = formatdate(usegmt=True)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                if scope["path"].startswith(PREFIX):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._limited(scope, receive, tagged)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem
            self._services.metrics.failed("api")
            _log.exception("request_failed", error=type(error).__name__)
            if not status:
                await problem(500, f"something failed here; request id {request_id}")(
                    scope, receive, tagged
                )
        finally:
            self._note(scope, status, time.monotonic() - started)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(PREFIX):
            client: tuple[str, int] | None = scope.get("client")
            wait = await self._limiter.retry_after(
                client[0] if client else None, login=path in LOGIN_PATHS
            )
            if wait is not None:
                self._services.metrics.refused("rate_limited")
                response = problem(
                    429, "too many requests", headers={"Retry-After": str(max(1, round(wait)))}
                )
                await response(scope, receive, send)
                return
        limit = MAX_RESTORE_BODY if path == RESTORE_PATH else MAX_BODY
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdigit() and int(length) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        await self._app(scope, _counting(receive, limit), send)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Log the route's pattern, because a path may hold a name that is a secret."""
        route: Any = scope.get("route")
        self._services.metrics.answered(scope["method"], status, seconds)
        client: tuple[str, int] | None = scope.get("client")
        _log.info(
            "request",
            method=scope["method"],
            route=getattr(route, "path", "other"),
            status=status,
            ms=round(seconds * 1000, 1),
            client=client[0] if client else None,
        )


def _too_large(limit: int) -> ASGIApp:
    return problem(413, f"a request body has at most {limit} bytes")


def _counting(receive: Receive, limit: int) -> Receive:
    """`receive` that ends a body longer than `limit` bytes with status 413."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, f"a request body has at most {limit} bytes")
        return message

    return counted
