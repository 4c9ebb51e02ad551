"""Opens WebSockets to a relay: where we were told to and nowhere else, without compression."""

import ssl
from collections.abc import Mapping
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from uptui import __version__
from uptui.errors import NotARelayError, ProtocolError, RelayUnreachableError
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.protocol import relay_api
from uptui.protocol.relay_api import Problem
from uptui.text import MAX_MESSAGE, clean

CLOSE_TIMEOUT: Final = 2.0
MAX_WAITING: Final = 4
"""Frames that wait to be read."""


class _Straight(connect):
    """Follows no redirect: a relay is where its URL says, and what it names is no URL of ours."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def open_websocket(
    endpoint: RelayEndpoint,
    context: ssl.SSLContext | None,
    path: str,
    *,
    max_size: int,
    open_timeout: float,
    headers: Mapping[str, str] | None = None,
) -> ClientConnection:
    """An open WebSocket. Raises InvalidStatus for another answer, else RelayUnreachableError.

    NotARelayError: what answers does not speak HTTP as it should.
    """
    try:
        return await _Straight(
            endpoint.websocket_url + path,
            ssl=context,
            proxy=endpoint.proxy,
            additional_headers=headers,
            user_agent_header=f"uptui/{__version__}",
            compression=None,
            max_size=max_size,
            max_queue=MAX_WAITING,
            ping_interval=None,
            open_timeout=open_timeout,
            close_timeout=CLOSE_TIMEOUT,
        )
    except InvalidStatus:
        raise
    except (OSError, TimeoutError, WebSocketException) as error:
        raise RelayUnreachableError(clean(str(error), MAX_MESSAGE) or "timed out") from error
    except (ValueError, OverflowError) as error:
        raise NotARelayError(clean(str(error), MAX_MESSAGE)) from error


def problem_of(refused: InvalidStatus) -> Problem | None:
    """What the relay said instead of opening a WebSocket; None when it is no problem document."""
    try:
        return relay_api.decode(bytes(refused.response.body or b""), Problem, "refusal")
    except ProtocolError:
        return None
