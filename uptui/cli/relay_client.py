"""Calls of the relay's administration API by an operator, synchronous for the command line."""

import contextlib
import ssl
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import httpx

from uptui.config.values import relay_url
from uptui.errors import (
    ConfigError,
    NotARelayError,
    RelayError,
    RelayRefusedError,
    RelayUnreachableError,
    StateError,
)
from uptui.net.authorities import authorities
from uptui.net.proxies import proxy_for
from uptui.net.tls_pin import pinned_context
from uptui.relay.accounts.admin_token import FILE_NAME, read_admin_token
from uptui.relay.ingress.self_signed import CERTIFICATE_FILE, sha256_of
from uptui.text import MAX_MESSAGE, clean

TIMEOUT: Final = 30.0
PAGE: Final = 200
OWN_CERTIFICATE: Final = "; to a relay's own certificate belongs the #sha256=... of its join URL"


@dataclass(frozen=True)
class RelayTarget:
    """Which relay, and by what right."""

    api: str
    token: str | None
    state_dir: Path

    def bearer(self) -> str:
        """The API token. Raises ConfigError when there is none."""
        found = self.token
        if found is None:
            found = read_admin_token(self.state_dir)
        if found is None:
            raise ConfigError(
                "--token",
                f"there is no {self.state_dir / FILE_NAME}; give an API token with the scope "
                "'admin', or name the relay's state directory with --state-dir",
            )
        return found


class AdminClient:
    """One relay's administration API."""

    def __init__(self, target: RelayTarget) -> None:
        """Raises ConfigError without a token, for an address that is none, and for a proxy or
        authorities of the environment that cannot be used."""
        try:
            url, _, pin = relay_url(target.api).partition("#sha256=")
        except ValueError as error:
            raise ConfigError("--api", str(error)) from error
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {target.bearer()}"},
            timeout=TIMEOUT,
            verify=_trust(target.state_dir, url, pin),
            proxy=proxy_for(parts.scheme, parts.hostname or "", port)[0],
            trust_env=False,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        content: Iterator[bytes] | None = None,
    ) -> Any:
        """The decoded answer. Raises RelayError."""
        with self._reaching():
            answer = self._http.request(method, path, json=body, params=query, content=content)
        if answer.is_error:
            _refuse(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise NotARelayError(f"{answer.url} does not answer as a uptui relay") from error

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a paged list."""
        after = ""
        while after is not None:
            page = self.call("GET", path, query={**query, "limit": PAGE, "after": after})
            yield from page["items"]
            after = page["next"]

    def download(self, path: str) -> Iterator[bytes]:
        """A streamed answer in chunks."""
        with self._reaching(), self._http.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
                _refuse(answer)
            yield from answer.iter_bytes()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @contextlib.contextmanager
    def _reaching(self) -> Generator[None]:
        try:
            yield
        except httpx.TransportError as error:
            advice = OWN_CERTIFICATE if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
            text = f"the relay at {self._http.base_url} cannot be asked: {error}{advice}"
            raise RelayUnreachableError(text) from error


def upload(path: Path) -> Iterator[bytes]:
    """The content of a file in chunks. Raises StateError."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 18):
                yield chunk
    except OSError as error:
        raise StateError(path, f"cannot be read: {error.strerror}") from error


def _trust(state_dir: Path, url: str, pin: str) -> ssl.SSLContext | bool:
    """Trust in the pin, in the relay's self-made certificate where we can read it, or in the
    system's authorities. Raises StateError for a certificate that is none."""
    if url.startswith("http:"):
        return False
    if pin:
        return pinned_context(pin.lower(), "its certificate is not the pinned one")
    certificate = state_dir / CERTIFICATE_FILE
    if not certificate.exists():
        return authorities()
    return pinned_context(sha256_of(certificate), f"it does not show {certificate}")


def _refuse(answer: httpx.Response) -> NoReturn:
    try:
        problem: Any = answer.json()
        detail, code = clean(str(problem["detail"]), MAX_MESSAGE), str(problem["code"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotARelayError(
            f"{answer.url} answers with {answer.status_code}, but not as a uptui relay"
        ) from error
    if answer.status_code >= 500:
        raise RelayError(detail)
    raise RelayRefusedError(code, detail)
