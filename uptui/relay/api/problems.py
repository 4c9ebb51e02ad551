"""Every error of the API as application/problem+json (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from uptui.errors import ProtocolError, RelayRefusedError, StateError
from uptui.protocol.relay_api import Problem
from uptui.relay import logs
from uptui.relay.accounts.alias_service import NameRefusedError

MEDIA_TYPE: Final = "application/problem+json"
MAX_ECHO: Final = 200
"""Characters of a client's own input that an error repeats."""

_log = logs.logger("uptui.relay.api")

_REFUSALS: Final = {
    "bad_signature": (401, "Proof of identity failed"),
    "other_origin": (403, "Signed for another address"),
    "other_certificate": (403, "Signed for another certificate"),
    "not_allowed": (403, "Not allowed"),
    "taken": (409, "Name taken"),
    "host_key_mismatch": (409, "Another host key is pinned"),
    "reserved": (422, "Reserved name"),
    "invalid_name": (422, "Invalid name"),
    "quota": (403, "Quota used up"),
    "no_ports": (503, "No direct port left"),
    "busy": (429, "Too many requests"),
}

_STATUS_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    422: "validation",
    426: "upgrade_required",
    429: "rate_limited",
    503: "unavailable",
}

_TITLES: Final = {
    400: "Bad request",
    401: "Authentication needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    413: "Request too large",
    422: "Invalid request",
    426: "WebSocket expected",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class ProblemError(Exception):
    """An API call ends with this status; the detail is for the caller to read."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def problem(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    title: str | None = None,
    headers: Mapping[str, str] | None = None,
    suggestions: list[str] | None = None,
    errors: list[str] | None = None,
) -> JSONResponse:
    """The response that tells a problem."""
    known = code or _STATUS_CODES.get(status, "server_error" if status >= 500 else "bad_request")
    body = Problem(
        type=f"urn:uptui:problem:{known}",
        title=title or _TITLES.get(status, known.replace("_", " ").capitalize()),
        status=status,
        detail=detail,
        code=known,
        suggestions=suggestions or [],
        errors=errors or [],
    )
    return JSONResponse(asdict(body), status, headers, media_type=MEDIA_TYPE)


async def deny(websocket: WebSocket, status: int, code: str, detail: str) -> None:
    """Refuse a WebSocket before it is open."""
    headers = {503: {"Retry-After": "5"}, 401: {"WWW-Authenticate": "Bearer"}}.get(status)
    await websocket.send_denial_response(problem(status, detail, code=code, headers=headers))


def install(app: FastAPI) -> None:
    """Answer every exception of the tree with a problem."""
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(ProtocolError, _protocol)
    app.add_exception_handler(RelayRefusedError, _refused)
    app.add_exception_handler(StateError, _state)


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_in_words(entry) for entry in error.errors()]
    return problem(422, "; ".join(errors)[:MAX_ECHO], errors=errors)


def _in_words(entry: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in entry.get("loc", ()))
    return f"{where}: {entry.get('msg', 'invalid')}"[:MAX_ECHO]


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return problem(error.status, error.detail, headers=error.headers)


async def _protocol(_request: Request, error: Exception) -> JSONResponse:
    return problem(422, str(error))


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RelayRefusedError)
    status, title = _REFUSALS.get(error.code, (403, "Refused"))
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    suggestions = error.suggestions if isinstance(error, NameRefusedError) else []
    return problem(
        status,
        str(error),
        code=error.code,
        title=title,
        headers=headers,
        suggestions=suggestions,
    )


async def _state(_request: Request, error: Exception) -> JSONResponse:
    return store_failed(error)


def store_failed(error: Exception) -> JSONResponse:
    """What a caller is told when the store fails; the reason goes to the log."""
    _log.error("store_failed", error=str(error))
    return problem(
        503,
        "the relay cannot use its database; its operator finds the reason in the log",
        headers={"Retry-After": "5"},
    )
