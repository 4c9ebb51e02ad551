"""What anybody may ask: what this relay is, how to log in, whether a name is free."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request

from uptui.protocol.names import MAX_ROUTE_LENGTH
from uptui.protocol.relay_api import (
    PREFIX,
    Availability,
    Challenge,
    ChallengeRequest,
    Credential,
    CredentialRequest,
    RelayInfo,
)
from uptui.relay.accounts.login_origin import Meeting
from uptui.relay.api import examples
from uptui.relay.api.access import Relay

PROXIED = "uptui_proxied"
"""Set in a request's state where its connection comes from a trusted proxy."""

router = APIRouter(prefix=PREFIX)


@router.get("/info", tags=["relay"], summary="What this relay is", responses=examples.INFO)
async def info(relay: Relay) -> RelayInfo:
    """Tell a host that this is a uptui relay, and what it offers."""
    return relay.info


@router.post("/challenges", tags=["login"], summary="Ask for a nonce to sign")
async def challenge(
    relay: Relay,
    request: Annotated[ChallengeRequest, Body(openapi_examples=examples.CHALLENGE_REQUEST)],
) -> Challenge:
    """Give a one-time nonce that only this identity key can answer."""
    return relay.authority.challenge(request.identity)


@router.post("/credentials", tags=["login"], summary="Exchange a signed nonce for a bearer token")
async def credential(
    relay: Relay,
    http: Request,
    request: Annotated[CredentialRequest, Body(openapi_examples=examples.CREDENTIAL_REQUEST)],
) -> Credential:
    """Check the signature over nonce, address and certificate, and whether the identity may host.

    It is an SSHSIG over four texts, each behind its length in four bytes (big-endian): "log in to a
    uptui relay", the nonce, the origin, and the 32 bytes of the certificate's SHA-256 (none with
    plain http).
    """
    proxied = bool(http.scope.get("state", {}).get(PROXIED))
    return await relay.authority.login(request, Meeting(http.scope.get("server"), proxied))


@router.get("/names/{name}", tags=["aliases"], summary="Whether an alias can be claimed")
async def availability(
    relay: Relay,
    name: Annotated[str, Path(max_length=MAX_ROUTE_LENGTH, examples=["demo-box"])],
) -> Availability:
    """Say whether a newcomer could claim the name, and suggest others if not."""
    refused, suggestions = await relay.names.availability(name)
    reason = None if refused is None else refused.message
    return Availability(name, refused is None, reason, suggestions)
