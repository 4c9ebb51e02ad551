"""Backup and restore of the whole store over the API."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from uptui.errors import StateError
from uptui.protocol.relay_api import PREFIX
from uptui.relay.accounts.admin_token import ensure_admin_token
from uptui.relay.api.access import Authorised, Relay
from uptui.relay.api.models import Restored
from uptui.relay.api.problems import ProblemError
from uptui.relay.store.dump import MAX_LINE, dump, restore

router = APIRouter(prefix=PREFIX, tags=["administration"])

MEDIA_TYPE = "application/jsonl"


@router.get("/backup", summary="Everything, as JSON lines", response_class=StreamingResponse)
async def backup(relay: Relay, _caller: Authorised) -> StreamingResponse:
    """Stream a consistent copy of the store; tokens are in it only as digests."""
    return StreamingResponse(dump(relay.database), media_type=MEDIA_TYPE)


@router.post("/restore", summary="Replace everything by a backup")
async def put_back(relay: Relay, _caller: Authorised, request: Request) -> Restored:
    """Put a backup back: all of it, or nothing when it is damaged."""
    await relay.usage.flush()
    try:
        rows = await restore(relay.database, _lines(request.stream()))
    except StateError as error:
        if error.path == "backup":
            raise ProblemError(422, error.problem) from error
        raise
    await ensure_admin_token(relay.database, relay.settings.state_dir, relay.clock())
    return Restored(rows)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line
        if len(rest) > MAX_LINE:
            raise ProblemError(422, f"a backup has lines of at most {MAX_LINE} bytes")
    if rest:
        yield rest
