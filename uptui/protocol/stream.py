"""The first line of a dial-back stream; what follows it are the client's bytes, untouched.

Raw TCP: the host sends `UPTUI-STREAM/1 <stream_id>\\n` to the relay's stream address. Where only
HTTPS leaves, the same stream is a WebSocket at `/v1/streams/<stream_id>` with binary frames.
"""

import re
from typing import Final

from uptui.errors import ProtocolError
from uptui.protocol.names import StreamId

MAGIC: Final = b"UPTUI-STREAM/1 "
MAX_PREAMBLE_BYTES: Final = 80
PREAMBLE_TIMEOUT: Final = 5.0
"""Seconds within which the preamble must be complete."""
DIAL_TIMEOUT: Final = 10.0
"""Seconds that a client waits for the host's stream."""
WEBSOCKET_PATH: Final = "/v1/streams/{stream_id}"
CLIENT_PATH: Final = "/v1/connect/{name}"
"""Where SSH clients join a session by WebSocket; frames are those of a stream."""
PROBE: Final = StreamId("-" * 32)
"""No stream, but a question whether raw streams come through; answered with PROBE_ANSWER."""
PROBE_ANSWER: Final = b"UPTUI-STREAM/1 ok\n"

_LINE = re.compile(rb"UPTUI-STREAM/1 ([A-Za-z0-9_-]{32})\n")


def preamble(stream_id: StreamId) -> bytes:
    """The bytes that open a raw stream."""
    return MAGIC + stream_id.encode() + b"\n"


def parse_preamble(buffer: bytes) -> tuple[StreamId, bytes] | None:
    """Split a preamble from what follows it; None while incomplete.

    Raises ProtocolError as soon as the bytes cannot become a preamble.
    """
    end = buffer.find(b"\n", 0, MAX_PREAMBLE_BYTES)
    if end < 0:
        if len(buffer) >= MAX_PREAMBLE_BYTES or not buffer.startswith(MAGIC[: len(buffer)]):
            raise ProtocolError("not a uptui stream: the first line must be 'UPTUI-STREAM/1 <id>'")
        return None
    match = _LINE.fullmatch(buffer[: end + 1])
    if match is None:
        raise ProtocolError("malformed stream preamble: expected 'UPTUI-STREAM/1 <id>'")
    return StreamId(match[1].decode()), buffer[end + 1 :]
