"""Persistent names: list, claim, release, transfer; owned by an identity or an account."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response

from uptui.net.sources import source_of
from uptui.protocol.names import MAX_ALIAS_LENGTH, MAX_ROUTE_LENGTH, Fingerprint
from uptui.protocol.relay_api import PREFIX, Alias, AliasPage, AliasTransfer
from uptui.relay.accounts import alias_rules as rules
from uptui.relay.accounts.alias_rules import AliasRecord
from uptui.relay.accounts.keys import canonical, fingerprint_of
from uptui.relay.accounts.port_limits import Holder
from uptui.relay.api import examples
from uptui.relay.api.access import Authorised, Relay
from uptui.relay.api.models import ClaimBody
from uptui.relay.api.permissions import Principal
from uptui.relay.api.problems import ProblemError
from uptui.relay.services import RelayServices

router = APIRouter(prefix=f"{PREFIX}/aliases", tags=["aliases"])

PAGE = 50
MAX_PAGE = 200

Name = Annotated[str, Path(max_length=MAX_ROUTE_LENGTH, examples=["demo-box"])]
After = Annotated[str, Query(max_length=MAX_ALIAS_LENGTH, description="`next` of the last page.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


def as_alias(relay: RelayServices, record: AliasRecord) -> Alias:
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
    caller: Authorised,
    after: After = "",
    limit: Limit = PAGE,
    everybody: Annotated[
        bool, Query(description="Needs the scope `read` of a token without account.")
    ] = False,
) -> AliasPage:
    """List aliases by name; a token without account has none of its own."""
    if everybody and not caller.sees_all:
        raise ProblemError(403, "this bearer token sees only its own aliases")
    owner = None if everybody else caller.owner or ""
    found = await relay.names.page(owner, after, limit + 1)
    items = [as_alias(relay, record) for record in found[:limit]]
    return AliasPage(items, items[-1].name if len(found) > limit else None)


@router.get("/{name}", summary="One alias")
async def get_alias(relay: Relay, caller: Authorised, name: Name) -> Alias:
    """Show one of your aliases."""
    record = await relay.names.get(name)
    if record is None or not caller.sees(record.owner):
        raise ProblemError(404, f"you have no alias {name!r}")
    return as_alias(relay, record)


@router.put("/{name}", summary="Claim an alias")
async def claim(
    relay: Relay,
    caller: Authorised,
    request: Request,
    name: Name,
    wish: Annotated[ClaimBody, Body(openapi_examples=examples.CLAIM)],
) -> Alias:
    """Make a name yours, or renew it; a pinned host key changes only with `rotate_host_key`."""
    client = request.client
    holder = Holder(_owner(caller), source_of(client.host if client else None))
    keys = [] if wish.host_key is None else [canonical(wish.host_key)]
    record = await relay.names.claim(name, holder, keys, wish.rotate_host_key)
    return as_alias(relay, record)


@router.delete("/{name}", status_code=204, summary="Release an alias")
async def release(relay: Relay, caller: Authorised, name: Name) -> Response:
    """Give a name up, with its port; others may claim it at once."""
    if not await relay.names.release(name, _owner_or_admin(caller)):
        raise ProblemError(404, f"there is no alias {name!r}")
    await relay.live.withdraw(name, "released", relay.names.owner)
    return Response(status_code=204)


@router.post("/{name}/transfer", summary="Hand an alias over")
async def transfer(
    relay: Relay,
    caller: Authorised,
    name: Name,
    wish: Annotated[AliasTransfer, Body(openapi_examples=examples.TRANSFER)],
) -> Alias:
    """Give a name with its port and pinned host key to another identity."""
    to: Fingerprint = fingerprint_of(wish.to)
    found = await relay.names.transfer(name, _owner_or_admin(caller), to)
    if found is None:
        raise ProblemError(404, f"there is no alias {name!r}")
    record, moved = found
    if moved:
        await relay.live.withdraw(name, "transferred", relay.names.owner)
    return as_alias(relay, record)


def _owner(caller: Principal) -> str:
    assert caller.owner is not None, "the table of permissions lets owners pass"
    return caller.owner


def _owner_or_admin(caller: Principal) -> str | None:
    """None lets administrators act on every alias."""
    return None if caller.is_admin else _owner(caller)
