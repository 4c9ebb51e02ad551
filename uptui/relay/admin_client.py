"""Calls of the relay's administration API by an operator, synchronous for the command line."""

import contextlib
import ssl
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

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
from uptui.pinning import pinned_context
from uptui.relay.admintoken import FILE_NAME, read_admin_token
from uptui.relay.tls import CERTIFICATE_FILE

TIMEOUT: Final = 30.0
PAGE: Final = 200
OWN_CERTIFICATE: Final = "; to a relay's own certificate belongs the #sha256=... of its join URL"


@dataclass(frozen=True)
class Target:
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

    def __init__(self, target: Target) -> None:
        """Raises ConfigError without a token, or for an address that is none."""
        try:
            url, _, pin = relay_url(target.api).partition("#sha256=")
        except ValueError as error:
            raise ConfigError("--api", str(error)) from error
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {target.bearer()}"},
            timeout=TIMEOUT,
            verify=_trust(target.state_dir, url, pin),
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
    system's authorities."""
    if pin:
        return pinned_context(pin.lower(), "its certificate is not the pinned one")
    certificate = state_dir / CERTIFICATE_FILE
    if not certificate.exists():
        return True
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context


def _refuse(answer: httpx.Response) -> NoReturn:
    try:
        problem: Any = answer.json()
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotARelayError(
            f"{answer.url} answers with {answer.status_code}, but not as a uptui relay"
        ) from error
    if answer.status_code >= 500:
        raise RelayError(detail)
    raise RelayRefusedError(code, detail)
