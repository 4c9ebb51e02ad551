"""Examples shown in the OpenAPI document."""

from typing import Any, Final

from fastapi.openapi.models import Example

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
_FINGERPRINT = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM"

CHALLENGE_REQUEST: Final[dict[str, Example]] = {
    "identity": Example(summary="An ed25519 identity", value={"identity": _KEY})
}
CREDENTIAL_REQUEST: Final[dict[str, Example]] = {
    "login": Example(
        summary="Signed in the namespace uptui-identity@uptui",
        value={
            "identity": _KEY,
            "nonce": "mS2Jt0nLZ5yV0cY1w4v7oA",
            "origin": "https://relay.example:443",
            "certificate": "f04bc5f4" * 8,
            "signature": "-----BEGIN SSH SIGNATURE-----\n...\n-----END SSH SIGNATURE-----\n",
            "join_token": None,
        },
    )
}
CLAIM: Final[dict[str, Example]] = {
    "claim": Example(summary="Claim with a host key", value={"host_key": _KEY}),
    "rotate": Example(
        summary="Pin a new host key on purpose", value={"host_key": _KEY, "rotate_host_key": True}
    ),
}
TRANSFER: Final[dict[str, Example]] = {
    "transfer": Example(summary="To another identity", value={"to": _KEY})
}
_ALIAS = {
    "name": "demo-box",
    "owner": _FINGERPRINT,
    "port": 20017,
    "host_key_fingerprint": _FINGERPRINT,
    "known_hosts": [f"[relay.example]:20017 {_KEY}", f"demo-box {_KEY}"],
    "created_at": 1790000000.0,
    "last_used_at": 1790003600.0,
    "expires_at": 1797779600.0,
    "online": True,
}


def _ok(example: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": example}}}}


ALIASES: Final = _ok({"items": [_ALIAS], "next": None})
INFO: Final = _ok(
    {
        "service": "uptui-relay",
        "version": "0.1.0",
        "protocol": 1,
        "hosting": "open",
        "public_host": "relay.example",
        "ssh_port": 2222,
        "port_first": 20000,
        "port_last": 20999,
        "ssh_host_keys": [_KEY],
    }
)
ACCOUNT: Final[dict[str, Example]] = {
    "defaults": Example(summary="The relay's default quotas", value={}),
    "limited": Example(
        summary="Own quotas", value={"max_aliases": 5, "max_bytes_per_month": 50_000_000_000}
    ),
}
TOKEN: Final[dict[str, Example]] = {
    "host": Example(
        summary="Lets an account's machines join",
        value={"account": "team-a", "scopes": ["host", "aliases"], "label": "CI runners"},
    )
}
