"""A relay that writes down everything it is told: `recorder FILE python -m uptui relay ...`.

Control frames, user names, jump targets, paths and heads of HTTP requests: one JSON text a line.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket

from uptui.cli import run
from uptui.protocol import control
from uptui.relay.gateway import server
from uptui.relay.ingress import websocket_tunnel
from uptui.relay.tunnel import broker


def spy(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Have `note` called with the arguments of each call."""
    honest = getattr(owner, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        note(*arguments, *named.values())
        return honest(*arguments, **named)

    setattr(owner, name, watched)


def main() -> int:
    """Run the relay."""
    book = Path(sys.argv[1]).open("a", buffering=1)  # noqa: SIM115 - for the life of the process

    def note(*said: Any) -> None:
        book.write(json.dumps([str(each) for each in said]) + "\n")

    def asked(_walled: object, socket: WebSocket) -> None:
        note(socket.url, socket.headers)

    spy(control, "decode_from_host", note)
    spy(broker.Broker, "call", note)
    spy(server.Visitor, "begin_auth", note)
    spy(server.Visitor, "connection_requested", note)
    spy(websocket_tunnel.WebSocketTunnel, "serve", asked)
    arguments = sys.argv[2:]
    return run(arguments[arguments.index("relay") :])


if __name__ == "__main__":
    sys.exit(main())
