"""Identifiers: what they look like, how they are made, and which strings are refused.

What is published to a relay never admits by itself: a route name may be followed by `-SECRET`,
which only the host knows and only the SSH user name carries (`inv-PUBLIC-SECRET`, `demo-SECRET`).
"""

import re
import secrets
from ipaddress import IPv6Address
from typing import Final, Literal, NewType

RouteName = NewType("RouteName", str)
"""What a client calls a session by: a session token, an alias or the public half of an invite."""
ClientId = NewType("ClientId", str)
"""One SSH connection to the host, as shown to people and taken by the CLI."""
RequestId = NewType("RequestId", str)
"""One pending approval."""
StreamId = NewType("StreamId", str)
"""One-time name of a dial-back stream."""
Fingerprint = NewType("Fingerprint", str)
"""OpenSSH style `SHA256:...` fingerprint of a public key."""

RouteKind = Literal["token", "alias", "invite"]
Way = Literal["port", "jump", "plain"]
"""How a client came: direct port, `ssh -J`, or through the relay's own SSH server."""
Screening = Literal["in", "later", "no"]
"""Whether a key may authenticate: yes; only where none of its client's others may; no."""

TOKEN_LENGTH: Final = 26
"""Characters of a session token: 26 base32 digits are 130 bits."""
INVITE_LENGTH: Final = 10
"""Digits of the public half of an invite: 50 bits, which tell invites apart and admit nobody."""
SECRET_LENGTH: Final = 26
"""Digits of the secret half of a name: 130 bits."""
INVITE_PREFIX: Final = "inv-"
MIN_ALIAS_LENGTH: Final = 3
MAX_ALIAS_LENGTH: Final = 40
MAX_ROUTE_LENGTH: Final = 63

RESERVED_ALIASES: Final = frozenset({
    "admin", "administrator", "api", "anonymous", "auth", "docs", "git", "guest", "health",
    "healthz", "help", "host", "http", "https", "jump", "localhost", "login", "metrics", "none",
    "openapi", "proxy", "readyz", "relay", "root", "ssh", "static", "status", "support", "system",
    "uptui", "web", "www",
})  # fmt: skip

MAX_HOST_NAME: Final = 253

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_TOKEN = re.compile(r"[a-z2-7]{26}")
_INVITE = re.compile(r"inv-[a-z2-7]{10}")
_WITH_SECRET = re.compile(r"(.+)-([a-z2-7]{26})")
_UNMASKED = re.compile(r"[a-z2-7]{26,}", re.IGNORECASE)
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ALIAS = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))


def new_token() -> RouteName:
    """A fresh session token of 130 random bits."""
    return RouteName(_random(TOKEN_LENGTH))


def new_invite() -> RouteName:
    """The public half of a fresh invite."""
    return RouteName(INVITE_PREFIX + _random(INVITE_LENGTH))


def new_secret() -> str:
    """The secret half of a name."""
    return _random(SECRET_LENGTH)


def with_secret(name: RouteName, secret: str) -> str:
    """The SSH user name that carries both halves."""
    return f"{name}-{secret}"


def split_secret(text: str) -> tuple[RouteName, str]:
    """A route name and the secret that `text` carries; all of it and nothing when it has none."""
    found = _WITH_SECRET.fullmatch(text)
    if found is None or kind_of(found[1]) is None:
        return RouteName(text), ""
    return RouteName(found[1]), found[2]


def new_client_id() -> ClientId:
    """A short id that people can type; unique enough within one daemon's life."""
    return ClientId("c" + _random(5))


def new_request_id() -> RequestId:
    """A short id for a pending approval."""
    return RequestId("r" + _random(5))


def new_stream_id() -> StreamId:
    """An unguessable one-time stream id."""
    return StreamId(secrets.token_urlsafe(24))


def is_token(text: str) -> bool:
    """Whether `text` has the shape of a session token."""
    return _TOKEN.fullmatch(text) is not None


def is_invite(text: str) -> bool:
    """Whether `text` has the shape of the public half of an invite."""
    return _INVITE.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether `text` is a host name, an IPv4 address, or an IPv6 address without scope."""
    if ":" not in text:
        return len(text) <= MAX_HOST_NAME and _HOST_NAME.fullmatch(text) is not None
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


def alias_problem(text: str) -> str | None:
    """Why `text` cannot be an alias, in words for its chooser, or None when it can."""
    if not MIN_ALIAS_LENGTH <= len(text) <= MAX_ALIAS_LENGTH:
        return f"an alias has {MIN_ALIAS_LENGTH} to {MAX_ALIAS_LENGTH} characters, not {len(text)}"
    if _ALIAS.fullmatch(text) is None:
        return "an alias has only a-z, 0-9 and '-', and neither starts nor ends with '-'"
    if "--" in text:
        return "an alias has no '--' inside"
    if text in RESERVED_ALIASES:
        return f"{text!r} is a reserved word"
    if text.isdigit():
        return "an alias is not only digits"
    if is_token(text) or text.startswith(INVITE_PREFIX):
        return "an alias may not look like a session token or an invite"
    if _WITH_SECRET.fullmatch(text) is not None:
        return f"an alias does not end in '-' and {SECRET_LENGTH} letters, as a secret does"
    return None


def kind_of(text: str) -> RouteKind | None:
    """The kind that `text` has by its shape, or None when it is no route name at all."""
    if is_token(text):
        return "token"
    if is_invite(text):
        return "invite"
    return "alias" if alias_problem(text) is None else None


def masked(text: str) -> str:
    """A name fit for logs: of a token too little to use, of a secret nothing."""
    return _UNMASKED.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    follows = found.string[: found.start()].endswith("-")
    return "…" if follows else f"{found[0][:8]}…"
