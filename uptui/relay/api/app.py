"""The relay's HTTP API as one FastAPI app; the data path adds its WebSockets to it."""

from typing import Any

from fastapi import APIRouter, FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from uptui import __version__
from uptui.protocol.relay_api import Problem
from uptui.relay.api import admin, aliases, backup, operations, page, problems, public
from uptui.relay.api.access import AccessGuard
from uptui.relay.api.guard import ApiGuard
from uptui.relay.api.rate_limit import Failures
from uptui.relay.services import RelayServices

DESCRIPTION = """\
The HTTP API of a uptui relay. A host proves its identity with an SSH signature
(`/v1/challenges`, `/v1/credentials`) and then owns aliases with the bearer token it gets; accounts
and operators use API tokens. Every error is `application/problem+json` with a `code` for programs.
Writes can be repeated without harm. 429 carries `Retry-After`.
"""


def make_app(services: RelayServices, failures: Failures | None = None) -> FastAPI:
    """The app of one relay; it holds no global state.

    `failures` is what the relay's other listeners count with; without it this app counts alone.
    """
    app = FastAPI(
        title="uptui relay",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={"default": _problem_response()},
        redirect_slashes=False,
    )
    app.state.services = services
    problems.install(app)
    routers: tuple[APIRouter, ...] = (
        public.router,
        aliases.router,
        admin.router,
        backup.router,
        operations.router,
        page.router,
    )
    for router in routers:
        app.include_router(router)
    app.add_middleware(AccessGuard, services=services, failures=failures or Failures())
    app.add_middleware(ApiGuard, services=services)
    if services.settings.trusted_proxies:
        trusted = list(services.settings.trusted_proxies)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)
    return app


def _problem_response() -> dict[str, Any]:
    return {
        "description": "A problem (RFC 9457)",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        "model": Problem,
    }
