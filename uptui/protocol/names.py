"""Identifiers: what they look like, how they are made, and which strings are refused."""

import re
import secrets
from typing import Final, Literal, NewType

RouteName = NewType("RouteName", str)
"""What a client calls a session by: a session token, an alias or an invite."""
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

TOKEN_LENGTH: Final = 26
"""Characters of a session token: 26 base32 digits are 130 bits."""
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

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_TOKEN = re.compile(r"[a-z2-7]{26}")
_INVITE = re.compile(r"inv-[a-z2-7]{26}")
_ALIAS = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def _random(length: int) -> str:
    return "".join(secrets.choice(_BASE32) for _ in range(length))


def new_token() -> RouteName:
    """A fresh session token of 130 random bits."""
    return RouteName(_random(TOKEN_LENGTH))


def new_invite() -> RouteName:
    """A fresh invite name of 130 random bits."""
    return RouteName(INVITE_PREFIX + _random(TOKEN_LENGTH))


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
    """Whether `text` has the shape of an invite."""
    return _INVITE.fullmatch(text) is not None


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
    return None


def kind_of(text: str) -> RouteKind | None:
    """The kind that `text` has by its shape, or None when it is no route name at all."""
    if is_token(text):
        return "token"
    if is_invite(text):
        return "invite"
    return "alias" if alias_problem(text) is None else None


def masked(text: str) -> str:
    """A token or invite fit for logs: enough to recognise, too little to use."""
    if is_token(text) or is_invite(text):
        return f"{text[:8]}…"
    return text
