"""Health and metrics, for the machines that watch the relay."""

from fastapi import APIRouter, Response
from starlette.responses import PlainTextResponse

from uptui.relay import metrics as relay_metrics
from uptui.relay.api.access import Relay
from uptui.relay.api.problems import ProblemError
from uptui.relay.services import RelayServices
from uptui.relay.store import check

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Alive", response_class=PlainTextResponse)
async def healthz() -> str:
    """The process answers."""
    return "ok\n"


@router.get("/readyz", summary="Ready for new hosts and clients", response_class=PlainTextResponse)
async def readyz(relay: Relay) -> str:
    """The store answers, and the relay is not draining."""
    if relay.draining:
        raise ProblemError(503, "the relay is draining")
    await check(relay.database)
    return "ready\n"


@router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
async def metrics(relay: Relay) -> Response:
    """Numbers for Prometheus: to loopback, to tokens with the scope `read` that belong to no
    account, or to everybody."""
    return Response(relay.metrics.render(), media_type=relay_metrics.CONTENT_TYPE)


def status_of(relay: RelayServices) -> str:
    """One word for people."""
    return "draining" if relay.draining else "up"
