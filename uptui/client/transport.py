"""HTTP over a Unix socket: requests, problem details and server-sent events; knows no endpoint."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from uptui.errors import ApiError, NotRunningError, ProtocolError
from uptui.protocol.host_api import Problem

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to reach the daemon."""
READ_TIMEOUT: Final = 30.0
"""Seconds to wait for an answer."""
EVENTS_READ_TIMEOUT: Final = 45.0
"""Seconds without any byte after which the event stream counts as lost; the daemon sends at least
a comment every 15."""

T = TypeVar("T")


def open_client(socket: Path) -> httpx.AsyncClient:
    """An HTTP client whose every connection goes to `socket`; proxies do not apply to it."""
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=str(socket)),
        base_url="http://uptui",
        timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
        trust_env=False,
    )


def _problem(response: httpx.Response) -> ApiError:
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        return ApiError(response.status_code, response.reason_phrase, response.text[:500])
    return ApiError(response.status_code, problem.title, problem.detail)


@asynccontextmanager
async def _translated() -> AsyncGenerator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise NotRunningError("no uptui daemon is running here; `uptui` starts one") from error
    except httpx.TransportError as error:
        raise NotRunningError(f"the uptui daemon stopped answering: {error!r}") from error


async def call(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    kind: type[T] | None,
    *,
    body: msgspec.Struct | None = None,
    query: Mapping[str, Any] | None = None,
    read_timeout: float = READ_TIMEOUT,
) -> T:
    """Send one request and decode its answer as `kind` (None: the answer has no body).

    Raises ApiError, NotRunningError, and ProtocolError when the answer is not what `kind` says.
    """
    content = None if body is None else msgspec.json.encode(body)
    headers = {} if body is None else {"content-type": "application/json"}
    timeout = httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT)
    async with _translated():
        response = await http.request(
            method, path, content=content, headers=headers, params=query, timeout=timeout
        )
    if not response.is_success:
        raise _problem(response)
    if kind is None:
        return None  # pyright: ignore[reportReturnType]
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the daemon's answer to {method} {path}: {error}") from error


async def events_of(
    http: httpx.AsyncClient, path: str, read_timeout: float
) -> AsyncIterator[tuple[str, str]]:
    """The server-sent events of `path` as (event, data)."""
    timeout = httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT)
    async with _translated(), http.stream("GET", path, timeout=timeout) as response:
        if response.is_error:
            await response.aread()
            raise _problem(response)
        name, data = "message", list[str]()
        async for line in response.aiter_lines():
            if not line:
                if data:
                    yield name, "\n".join(data)
                name, data = "message", []
                continue
            key, _, value = line.partition(":")
            if key == "event":
                name = value.strip()
            elif key == "data":
                data.append(value.removeprefix(" "))
