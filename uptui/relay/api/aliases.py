"""Persistent names: list, claim, release, transfer; owned by an identity or an account."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Response

from uptui.protocol.names import MAX_ALIAS_LENGTH, MAX_ROUTE_LENGTH, Fingerprint
from uptui.protocol.relay_api import PREFIX, Alias, AliasPage, AliasTransfer
from uptui.relay import aliases as rules
from uptui.relay.aliases import AliasRecord
from uptui.relay.api import examples
from uptui.relay.api.access import Authenticated, Caller, Relay
from uptui.relay.api.models import ClaimBody
from uptui.relay.api.problems import ProblemError
from uptui.relay.keys import canonical, fingerprint_of
from uptui.relay.services import Services

router = APIRouter(prefix=f"{PREFIX}/aliases", tags=["aliases"])

PAGE = 50
MAX_PAGE = 200

Name = Annotated[str, Path(max_length=MAX_ROUTE_LENGTH, examples=["demo-box"])]
After = Annotated[str, Query(max_length=MAX_ALIAS_LENGTH, description="`next` of the last page.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


def as_alias(relay: Services, record: AliasRecord) -> Alias:
    """What the API tells about an alias."""
    info = relay.info
    fingerprint = fingerprint_of(record.host_key) if record.host_key else None
    return Alias(
        name=record.name,
        owner=record.owner,
        port=record.port,
        host_key_fingerprint=fingerprint,
        known_hosts=rules.known_hosts(
            record.name,
            record.host_key,
            record.port,
            info.public_host,
            info.ssh_host_keys,
            info.ssh_port,
        ),
        created_at=record.created_at,
        last_used_at=record.last_used_at,
        expires_at=record.expires_at(relay.names.settings.ttl),
        online=relay.live.is_online(record.name),
    )


@router.get("", summary="Your aliases", responses=examples.ALIASES)
async def list_aliases(
    relay: Relay,
    caller: Authenticated,
    after: After = "",
    limit: Limit = PAGE,
    everybody: Annotated[bool, Query(description="Needs the scope `read`.")] = False,
) -> AliasPage:
    """List aliases by name."""
    if everybody:
        caller.require("read")
        owner = None
    else:
        owner = _owner(caller)
    found = await relay.names.page(owner, after, limit + 1)
    items = [as_alias(relay, record) for record in found[:limit]]
    return AliasPage(items, items[-1].name if len(found) > limit else None)


@router.get("/{name}", summary="One alias")
async def get_alias(relay: Relay, caller: Authenticated, name: Name) -> Alias:
    """Show one of your aliases."""
    record = await relay.names.get(name)
    if record is None or not (caller.may("read") or record.owner == caller.owner):
        raise ProblemError(404, f"you have no alias {name!r}")
    return as_alias(relay, record)


@router.put("/{name}", summary="Claim an alias")
async def claim(
    relay: Relay,
    caller: Authenticated,
    name: Name,
    wish: Annotated[ClaimBody, Body(openapi_examples=examples.CLAIM)],
) -> Alias:
    """Make a name yours, or renew it; a pinned host key changes only with `rotate_host_key`."""
    owner = _owner(caller)
    keys = [] if wish.host_key is None else [canonical(wish.host_key)]
    record = await relay.names.claim(name, owner, keys, wish.rotate_host_key)
    return as_alias(relay, record)


@router.delete("/{name}", status_code=204, summary="Release an alias")
async def release(relay: Relay, caller: Authenticated, name: Name) -> Response:
    """Give a name up, with its port; others may claim it at once."""
    if not await relay.names.release(name, _owner_or_admin(caller)):
        raise ProblemError(404, f"there is no alias {name!r}")
    await relay.live.close_route(name)
    return Response(status_code=204)


@router.post("/{name}/transfer", summary="Hand an alias over")
async def transfer(
    relay: Relay,
    caller: Authenticated,
    name: Name,
    wish: Annotated[AliasTransfer, Body(openapi_examples=examples.TRANSFER)],
) -> Alias:
    """Give a name with its port and pinned host key to another identity."""
    to: Fingerprint = fingerprint_of(wish.to)
    record = await relay.names.transfer(name, _owner_or_admin(caller), to)
    if record is None:
        raise ProblemError(404, f"there is no alias {name!r}")
    await relay.live.close_route(name)
    return as_alias(relay, record)


def _owner(caller: Caller) -> str:
    caller.require("aliases")
    if caller.owner is None:
        raise ProblemError(403, "this token belongs to no account, so it can own no alias")
    return caller.owner


def _owner_or_admin(caller: Caller) -> str | None:
    """None lets administrators act on every alias."""
    return None if caller.may("admin") else _owner(caller)
