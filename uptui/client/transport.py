"""HTTP over a Unix socket: requests, problem details and server-sent events; knows no endpoint."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from uptui.client.trust import check_daemon
from uptui.errors import ApiError, NotRunningError, ProtocolError, StateError
from uptui.protocol.host_api import HostProblem

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to reach the daemon."""
READ_TIMEOUT: Final = 30.0
"""Seconds to wait for an answer."""
EVENTS_READ_TIMEOUT: Final = 45.0
"""Seconds without any byte after which the event stream counts as lost; the daemon sends at least
a comment every 15."""

T = TypeVar("T")


class _OwnDaemon(httpx.AsyncHTTPTransport):
    """A Unix socket, spoken to once the kernel has said that it is ours."""

    def __init__(self, path: Path) -> None:
        super().__init__(verify=False, uds=str(path))  # no TLS here: its context takes long
        self._path = path

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "trace": self._connected}
        return await super().handle_async_request(request)

    async def _connected(self, event: str, info: dict[str, Any]) -> None:
        if event != "connection.connect_unix_socket.complete":
            return
        stream = info["return_value"]
        try:
            check_daemon(self._path, stream.get_extra_info("socket"))
        except StateError:
            await stream.aclose()
            raise


def open_client(socket: Path) -> httpx.AsyncClient:
    """An HTTP client whose every connection goes to `socket`; proxies do not apply to it."""
    return httpx.AsyncClient(
        transport=_OwnDaemon(socket),
        base_url="http://uptui",
        timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
        trust_env=False,
    )


def problem_in(status: int, body: bytes) -> ApiError:
    """What a refusal says."""
    try:
        problem = msgspec.json.decode(body, type=HostProblem)
    except (msgspec.DecodeError, UnicodeError):
        text = body[:500].decode("utf-8", "replace")
        return ApiError(status, httpx.codes.get_reason_phrase(status), text)
    return ApiError(status, problem.title, problem.detail)


def _problem(response: httpx.Response) -> ApiError:
    return problem_in(response.status_code, response.content)


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
