"""The border: what a peer says becomes values of checked types once, or ProtocolError. No IO.

The types below go into the messages; `decode` checks them, bounds the size, and makes every text
fit for a terminal, a log and a file of lines. Behind it nobody has to look at a text again.
"""

import dataclasses
import math
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import Meta

from uptui.errors import ProtocolError
from uptui.protocol.names import RouteName, StreamId
from uptui.text import MAX_MESSAGE, clean

MAX_TEXT: Final = 4096
"""Characters of any text that passes; the longest are public keys."""
MAX_LIST: Final = 1000
"""Items of any list that a relay sends."""
MAX_NUMBER: Final = 2**53
MAX_TIME: Final = 10_000_000_000.0
"""The latest moment that is taken (Unix seconds, some year after 2200)."""
SHORTEST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 300.0
"""Seconds: bounds of the time that a relay can make us stay away."""

Port = Annotated[int, Meta(ge=1, le=65535)]
PeerPort = Annotated[int, Meta(ge=0, le=65535)]
"""That of a client; 0 when nobody knows it."""
Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Moment = Annotated[float, Meta(ge=0, le=MAX_TIME)]
Seconds = Annotated[float, Meta(ge=-MAX_TIME, le=MAX_TIME)]
"""A span as a relay says it; who waits bounds it further."""
Route = Annotated[RouteName, Meta(pattern=r"\A[a-z0-9-]{1,63}\Z")]
Stream = Annotated[StreamId, Meta(pattern=r"\A[A-Za-z0-9_-]{32}\Z")]
Secret = Annotated[str, Meta(pattern=r"\A[\x21-\x7e]{1,1024}\Z")]
"""A bearer token or nonce: goes into a header as it is."""
MAX_KEY: Final = 4096
"""Characters of a public key in OpenSSH format."""
PublicKey = Annotated[str, Meta(pattern=r"\A[\x20-\x7e]+\Z", max_length=MAX_KEY)]

T = TypeVar("T")


def decode(decoder: Callable[[str | bytes], T], data: str | bytes, limit: int, what: str) -> T:
    """The value in `data`. Raises ProtocolError: `what`, and the field that is wrong."""
    if len(data) > limit:
        raise ProtocolError(f"{what}: {len(data)} bytes; the limit is {limit}")
    try:
        return cast("T", cleaned(decoder(data)))
    except RecursionError:
        raise ProtocolError(f"{what}: nested too deeply") from None
    except (ValueError, OverflowError) as error:  # msgspec's own and those of huge numbers
        raise ProtocolError(f"{what}: {clean(str(error), MAX_MESSAGE)}") from error


def cleaned(value: Any) -> Any:
    """The same value with every text on one line, without control characters, and bounded."""
    if isinstance(value, str):
        return clean(value, MAX_TEXT)
    if isinstance(value, list):
        return [cleaned(item) for item in cast("list[Any]", value)]
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        return type(value)(**{name: cleaned(getattr(value, name)) for name in names})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return type(value)(**{one.name: cleaned(getattr(value, one.name)) for one in fields})
    return value


def address(text: str) -> str:
    """The IP address in `text`, without a scope, or "unknown"."""
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return "unknown"


def wait(seconds: float) -> float:
    """How long to stay away when a relay asks for `seconds`."""
    if math.isnan(seconds):
        return LONGEST_WAIT
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, seconds))


def retry_after(header: str | None) -> float | None:
    """The wait in a Retry-After header of seconds; None when there is none that we understand."""
    if not header or len(header) > 20 or not (header.isascii() and header.isdigit()):
        return None
    return wait(float(header))
