"""Health and metrics, for the machines that watch the relay."""

from ipaddress import ip_address

from fastapi import APIRouter, Request, Response
from starlette.responses import PlainTextResponse

from uptui.relay import metrics as relay_metrics
from uptui.relay.api.access import Relay, caller_of
from uptui.relay.api.problems import ProblemError
from uptui.relay.services import Services
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
async def metrics(relay: Relay, request: Request) -> Response:
    """Numbers for Prometheus: to loopback, to tokens with the scope `read`, or to everybody."""
    if not (relay.settings.public_metrics or _is_local(request) or await _may_read(relay, request)):
        raise ProblemError(
            401, "metrics need an API token with the scope 'read'", {"WWW-Authenticate": "Bearer"}
        )
    return Response(relay.metrics.render(), media_type=relay_metrics.CONTENT_TYPE)


async def _may_read(relay: Services, request: Request) -> bool:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    caller = await caller_of(relay, bearer) if scheme.lower() == "bearer" else None
    return caller is not None and caller.may("read")


def _is_local(request: Request) -> bool:
    """Loopback and not through a proxy, which would make everybody local."""
    if request.client is None or "x-forwarded-for" in request.headers:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def status_of(relay: Services) -> str:
    """One word for people."""
    return "draining" if relay.draining else "up"
