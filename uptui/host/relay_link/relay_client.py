"""The relay's HTTP API as the host uses it: recognise a relay, log in, look after aliases."""

import hashlib
import os
import ssl
from socket import gaierror
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote

import asyncssh
import httpx
import msgspec

from uptui import __version__
from uptui.errors import (
    NotARelayError,
    ProtocolError,
    RelayRefusedError,
    RelayUnreachableError,
)
from uptui.host.keys.identity import public_line
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.net.fetching import FETCH_TIMEOUT, AnswerError, fetch
from uptui.protocol import border, control, relay_api, sshsig
from uptui.protocol.login import Statement
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
from uptui.text import MAX_MESSAGE, clean

MAX_PAGES: Final = 50
"""Pages of aliases that are read."""
USER_AGENT: Final = f"uptui/{__version__}"
_SERVICE = "uptui-relay"
_JSON: Final = {"content-type": "application/json"}

T = TypeVar("T")


def _signed(key: asyncssh.SSHKey, said: Statement) -> str:
    kind = key.algorithm
    algorithm = b"rsa-sha2-512" if kind == b"ssh-rsa" else kind
    return sshsig.sign(
        relay_api.NAMESPACE, said.signed(), key.public_data, lambda data: key.sign(data, algorithm)
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


def _seen(response: httpx.Response) -> bytes:
    """SHA-256 of the certificate that was shown on the connection of this answer."""
    tls: ssl.SSLObject | None = response.extensions["network_stream"].get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if certificate is None:
        raise ssl.SSLError("the connection shows no certificate")
    return hashlib.sha256(certificate).digest()


class RelayClient:
    """Calls on one relay; use as an async context manager.

    Methods raise RelayUnreachableError, NotARelayError and RelayRefusedError.
    """

    def __init__(self, endpoint: RelayEndpoint, context: ssl.SSLContext | None) -> None:
        self.endpoint = endpoint
        self._certificate = b""
        """SHA-256 of what the last connection showed; empty for plain http."""
        self._http = httpx.AsyncClient(
            base_url=endpoint.url,
            verify=context or False,
            proxy=endpoint.proxy,
            trust_env=False,
            timeout=FETCH_TIMEOUT,
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
            info = relay_api.decode(response.content, RelayInfo, "/v1/info")
        except ProtocolError as error:
            raise NotARelayError(f"{where} answers, but not as a uptui relay ({error})") from error
        if info.service != _SERVICE:
            raise NotARelayError(f"{where} is {info.service[:60]!r}, not a uptui relay")
        if info.protocol != control.VERSION:
            raise NotARelayError(
                f"{where} speaks version {info.protocol} of the relay protocol, we speak "
                f"{control.VERSION}: update the older side"
            )
        return info

    async def login(self, key: asyncssh.SSHKey, join_token: str | None) -> Credential:
        """Prove who we are; the bearer token goes with every later call of this client.

        What is signed names the relay as we met it: its address and the certificate that it showed
        on this very connection. Raises NotARelayError when it shows two.
        """
        identity = public_line(key)
        challenge = await self._post("/challenges", ChallengeRequest(identity), Challenge)
        said = Statement(challenge.nonce, self.endpoint.origin, self._certificate)
        proof = CredentialRequest(
            identity,
            challenge.nonce,
            str(said.origin),
            _signed(key, said),
            said.certificate.hex(),
            join_token,
        )
        credential = await self._post("/credentials", proof, Credential)
        if self._certificate != said.certificate:
            where = self.endpoint.shown
            raise NotARelayError(f"{where} shows two certificates during one login")
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
            return relay_api.decode(response.content, kind, f"answer to {path}")
        except ProtocolError as error:
            raise NotARelayError(f"{self.endpoint.shown}: {error}") from error

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        where = self.endpoint.shown
        try:
            response = await fetch(self._http, method, relay_api.PREFIX + path, **options)
            self._certificate = _seen(response) if self.endpoint.scheme == "https" else b""
            return response  # noqa: TRY300
        except (httpx.TimeoutException, TimeoutError) as error:
            raise RelayUnreachableError(f"{where}: no answer within {FETCH_TIMEOUT:g} s") from error
        except AnswerError as error:
            raise NotARelayError(f"{where}: {error}") from error
        except httpx.ProxyError as error:
            raise RelayUnreachableError(
                f"{where}: the proxy says: {clean(str(error), MAX_MESSAGE)}"
            ) from error
        except httpx.RemoteProtocolError as error:
            text = clean(str(error), MAX_MESSAGE)
            raise NotARelayError(f"{where} answers, but not with HTTP: {text}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise RelayUnreachableError(f"{where}: {_reason(error)}") from error

    def _refusal(self, response: httpx.Response) -> RelayRefusedError:
        retry_after = border.retry_after(response.headers.get("retry-after"))
        try:
            problem = relay_api.decode(response.content, Problem, "refusal")
        except ProtocolError:
            text = f"{self.endpoint.shown} answers HTTP {response.status_code}"
            return RelayRefusedError("bad_request", text, retry_after=retry_after)
        near = f"; free: {', '.join(problem.suggestions)}" if problem.suggestions else ""
        text = f"the relay says: {problem.detail or problem.title}{near}"
        return RelayRefusedError(problem.code or problem.type, text, retry_after=retry_after)
