"""The relay's HTTP API as the host uses it: recognise a relay, log in, look after aliases."""

import os
import ssl
from socket import gaierror
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote

import asyncssh
import httpx
import msgspec

from uptui import __version__
from uptui.errors import NotARelayError, RelayRefusedError, RelayUnreachableError
from uptui.host.identity import public_line
from uptui.host.link.endpoint import Endpoint
from uptui.protocol import control, relay_api, sshsig
from uptui.protocol.relay_api import (
    Alias,
    AliasClaim,
    AliasPage,
    AliasTransfer,
    Availability,
    Challenge,
    ChallengeRequest,
    Credential,
    CredentialRequest,
    Problem,
    RelayInfo,
)

TIMEOUT: Final = 10.0
MAX_PAGES: Final = 50
"""Pages of aliases that are read."""
USER_AGENT: Final = f"uptui/{__version__}"
_SERVICE = "uptui-relay"
_JSON: Final = {"content-type": "application/json"}

T = TypeVar("T")


def _signed(key: asyncssh.SSHKey, nonce: str) -> str:
    kind = key.algorithm
    algorithm = b"rsa-sha2-512" if kind == b"ssh-rsa" else kind
    return sshsig.sign(
        relay_api.NAMESPACE, nonce.encode(), key.public_data, lambda data: key.sign(data, algorithm)
    )


def _reason(error: Exception) -> str:
    """The system's own word for a failed connection; httpx hides it behind a general one."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLError):
            no_tls = "WRONG_VERSION_NUMBER" in str(below)  # one made here has no `reason`
            return "no TLS is spoken there; is it http:// instead?" if no_tls else str(error)
        if isinstance(below, OSError) and below.errno:
            known = None if isinstance(below, gaierror) else os.strerror(below.errno)
            return known or below.strerror or str(below)
        below = _beneath(below)
    return str(error) or type(error).__name__


def _beneath(error: BaseException) -> BaseException | None:
    """What led to `error`; the first of several addresses that were tried."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error.__cause__ or error.__context__


class RelayClient:
    """Calls on one relay; use as an async context manager.

    Methods raise RelayUnreachableError, NotARelayError and RelayRefusedError.
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
        self.endpoint = endpoint
        self._http = httpx.AsyncClient(
            base_url=endpoint.url,
            verify=context or False,
            proxy=endpoint.proxy,
            trust_env=False,
            timeout=TIMEOUT,
            headers={"user-agent": USER_AGENT},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection to the relay."""
        await self._http.aclose()

    async def info(self) -> RelayInfo:
        """What answers there. Raises NotARelayError unless it is a relay that we understand."""
        where = self.endpoint.shown
        response = await self._request("GET", "/info")
        if response.status_code != 200:
            status = f"HTTP {response.status_code}"
            if response.status_code == 407:
                raise RelayUnreachableError(f"{where}: the proxy wants a user name and password")
            if response.status_code in {502, 503, 504}:
                raise RelayUnreachableError(f"{where} answers {status}")
            raise NotARelayError(f"{where} answers, but not as a uptui relay (/v1/info: {status})")
        try:
            info = msgspec.json.decode(response.content, type=RelayInfo)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise NotARelayError(
                f"{where} answers, but not as a uptui relay (/v1/info is something else)"
            ) from error
        if info.service != _SERVICE:
            raise NotARelayError(f"{where} is {info.service[:60]!r}, not a uptui relay")
        if info.protocol != control.VERSION:
            raise NotARelayError(
                f"{where} speaks version {info.protocol} of the relay protocol, we speak "
                f"{control.VERSION}: update the older side"
            )
        return info

    async def login(self, key: asyncssh.SSHKey, join_token: str | None) -> Credential:
        """Prove who we are; the bearer token goes with every later call of this client."""
        identity = public_line(key)
        challenge = await self._post("/challenges", ChallengeRequest(identity), Challenge)
        proof = CredentialRequest(
            identity, challenge.nonce, _signed(key, challenge.nonce), join_token
        )
        credential = await self._post("/credentials", proof, Credential)
        self._http.headers["authorization"] = f"Bearer {credential.access_token}"
        return credential

    async def aliases(self) -> list[Alias]:
        """Every alias of this identity."""
        found: list[Alias] = []
        after = ""
        for _ in range(MAX_PAGES):
            query = {"after": after} if after else {}
            page = await self._call("GET", "/aliases", AliasPage, params=query)
            found += page.items
            if page.next is None:
                break
            after = page.next
        return found

    async def availability(self, name: str) -> Availability:
        """Whether an alias could be ours."""
        return await self._call("GET", f"/names/{quote(name, safe='')}", Availability)

    async def release(self, name: str) -> None:
        """Give an alias back."""
        response = await self._request("DELETE", f"/aliases/{quote(name, safe='')}")
        if response.is_error:
            raise self._refusal(response)

    async def claim(self, name: str, host_key: str, *, rotate: bool = False) -> Alias:
        """Make an alias ours; `rotate` lets our host key replace the one it is pinned to."""
        body = msgspec.json.encode(AliasClaim(host_key, rotate))
        path = f"/aliases/{quote(name, safe='')}"
        return await self._call("PUT", path, Alias, content=body, headers=_JSON)

    async def transfer(self, name: str, to: str) -> Alias:
        """Hand an alias over to another identity, given as its public key."""
        path = f"/aliases/{quote(name, safe='')}/transfer"
        return await self._post(path, AliasTransfer(to), Alias)

    async def _post(self, path: str, body: object, kind: type[T]) -> T:
        content = msgspec.json.encode(body)
        return await self._call("POST", path, kind, content=content, headers=_JSON)

    async def _call(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        response = await self._request(method, path, **options)
        if response.is_error:
            raise self._refusal(response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise NotARelayError(f"{self.endpoint.shown}: answer to {path}: {error}") from error

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        where = self.endpoint.shown
        try:
            return await self._http.request(method, relay_api.PREFIX + path, **options)
        except httpx.TimeoutException as error:
            raise RelayUnreachableError(f"{where}: no answer within {TIMEOUT:g} s") from error
        except httpx.ProxyError as error:
            raise RelayUnreachableError(f"{where}: the proxy says: {error}") from error
        except httpx.RemoteProtocolError as error:
            raise NotARelayError(f"{where} answers, but not with HTTP: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise RelayUnreachableError(f"{where}: {_reason(error)}") from error

    def _refusal(self, response: httpx.Response) -> RelayRefusedError:
        retry = response.headers.get("retry-after", "")
        retry_after = float(retry) if retry.isdigit() else None
        try:
            problem = msgspec.json.decode(response.content, type=Problem)
        except (msgspec.DecodeError, UnicodeError):
            text = f"{self.endpoint.shown} answers HTTP {response.status_code}"
            return RelayRefusedError("bad_request", text, retry_after=retry_after)
        near = f"; free: {', '.join(problem.suggestions)}" if problem.suggestions else ""
        text = f"the relay says: {problem.detail or problem.title}{near}"
        return RelayRefusedError(problem.code or problem.type, text, retry_after=retry_after)
