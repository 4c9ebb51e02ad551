"""Who calls the API: a bearer is an identity's credential or an API token, each with its scopes."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from uptui.relay.aliases import owner_of
from uptui.relay.api.problems import ProblemError
from uptui.relay.secrets import TOKEN_PREFIX
from uptui.relay.services import Services

SCOPES = {
    "host": "join as a host of the token's account",
    "aliases": "manage the aliases of the token's account",
    "read": "see sessions, accounts, tokens and metrics",
    "admin": "everything",
}

_bearer = HTTPBearer(
    auto_error=False, description="A credential from /v1/credentials, or an API token."
)


@dataclass(frozen=True)
class Caller:
    """An authenticated caller."""

    owner: str | None
    """What its aliases belong to; None for a token without account."""
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether it holds the scope; `admin` holds all."""
        return scope in self.scopes or "admin" in self.scopes

    def require(self, scope: str) -> None:
        """Raises ProblemError unless it holds the scope."""
        if not self.may(scope):
            raise ProblemError(403, f"this bearer token lacks the scope {scope!r}")


def services_of(request: Request) -> Services:
    """The relay that this app was made for."""
    services: Services = request.app.state.services
    return services


Relay = Annotated[Services, Depends(services_of)]


async def caller_of(relay: Services, bearer: str) -> Caller | None:
    """Who this bearer token stands for, or None when it is not valid."""
    if bearer.startswith(TOKEN_PREFIX):
        token = await relay.authority.token_of(bearer)
        if token is None:
            return None
        return Caller(f"account:{token.account}" if token.account else None, token.scopes)
    identity = await relay.authority.identity_of(bearer)
    if identity is None:
        return None
    return Caller(owner_of(identity), frozenset({"aliases"}))


async def authenticated(
    relay: Relay, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Who calls. Raises ProblemError 401."""
    caller = None if bearer is None else await caller_of(relay, bearer.credentials)
    if caller is None:
        what = "is needed" if bearer is None else "is unknown, expired or revoked"
        raise ProblemError(
            401,
            f"the bearer token {what}: log in with /v1/challenges and /v1/credentials, "
            "or use an API token",
            {"WWW-Authenticate": "Bearer"},
        )
    return caller


async def reader(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
    """A caller that may see everything."""
    caller.require("read")
    return caller


async def administrator(caller: Annotated[Caller, Depends(authenticated)]) -> Caller:
    """A caller that may do everything."""
    caller.require("admin")
    return caller


Authenticated = Annotated[Caller, Depends(authenticated)]
Reader = Annotated[Caller, Depends(reader)]
Administrator = Annotated[Caller, Depends(administrator)]
