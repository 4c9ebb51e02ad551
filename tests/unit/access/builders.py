"""Arrivals and shares for the tests of who gets in."""

import base64
import itertools
from typing import Any, TypeVar

from uptui.core.access import Arrival
from uptui.core.events import Effect
from uptui.core.keys import parse_public_key
from uptui.core.share import Share
from uptui.core.share_state import ShareSettings
from uptui.protocol.names import ClientId, RouteName, Way

NOW = 1_700_000_000.0
E = TypeVar("E", bound=Effect)
_numbers = itertools.count(1)


def key(seed: int) -> str:
    """A well-formed ed25519 public key; nobody has its private half."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + seed.to_bytes(32, "big")
    return "ssh-ed25519 " + base64.b64encode(blob).decode()


def arrival(
    seed: int = 1,
    *,
    user: str = "alice",
    way: Way = "port",
    route: str = "demo-box",
    address: str = "198.51.100.7",
    program: str = "SSH-2.0-OpenSSH_9.6",
    wants: str = "",
) -> Arrival:
    """A new connection with the key of that number."""
    parsed = parse_public_key(key(seed))
    return Arrival(
        client_id=ClientId(f"c{next(_numbers)}"),
        way=way,
        route=RouteName(route),
        user=user,
        key=parsed.text,
        fingerprint=parsed.fingerprint,
        vouched=way == "plain",
        address=address,
        port=40000,
        program=program,
        wants=wants,
    )


def share(now: float = NOW, **settings: Any) -> Share:
    """A share called demo-box whose first effects are taken."""
    settings.setdefault("alias", "demo-box")
    made = Share(ShareSettings(**settings), now)
    made.drain()
    return made


def of_kind(effects: list[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
