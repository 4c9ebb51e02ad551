"""Where authorized keys come from: files, GitHub, GitLab, URLs; read, cached and refreshed here.

A source is a path of an authorized_keys file, `github:USER`, `gitlab:USER`, or an http(s) URL of
a list of keys. What was fetched last is kept in the state directory, so a share that restarts
without a network still knows its people.
"""

import asyncio
import codecs
import contextlib
import functools
import hashlib
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from uptui.core.keys import AuthorizedKey, parse_authorized_keys
from uptui.errors import ConfigError, StateError
from uptui.net.authorities import authorities
from uptui.net.fetching import FETCH_TIMEOUT, AnswerError, fetch
from uptui.net.proxies import proxy_for
from uptui.protocol.names import Fingerprint
from uptui.runtime.private_files import private_directory, write_private
from uptui.text import MAX_MESSAGE, clean

FILE_INTERVAL: Final = 2.0
"""Seconds between looks at the files."""
FETCH_INTERVAL: Final = 15 * 60.0
"""Seconds between two fetches of a source that answers."""
RETRY_INTERVAL: Final = 60.0
"""Seconds after which a source that failed is asked again."""
MAX_BYTES: Final = 1024 * 1024
"""Size of a file or an answer above which none of it is used."""

_USER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254})")


@dataclass(frozen=True)
class KeyServices:
    """Where `github:` and `gitlab:` are asked."""

    github: str = "https://github.com"
    gitlab: str = "https://gitlab.com"


@dataclass(frozen=True)
class Source:
    """One source as given: either a path or a URL is set."""

    label: str
    """How people see it: "authorized_keys", "github:user", the URL."""
    path: Path | None = None
    url: str = ""
    person: str = ""
    """Name for keys without a comment."""


@dataclass
class _SourceState:
    """What is known of a source at the moment."""

    keys: list[AuthorizedKey] = field(default_factory=list[AuthorizedKey])
    problems: tuple[str, ...] = ()
    stamp: tuple[int, int, int] | None = None
    """File: modification time, size and inode of what was read."""
    due: float = 0.0
    """URL: when to ask again."""


class _FetchError(Exception):
    """A URL gave no keys; the text says why."""


def parse_source(text: str, services: KeyServices | None = None) -> Source:
    """Understand one configured source. Raises ConfigError."""
    services = services or KeyServices()
    scheme, colon, rest = text.partition(":")
    if colon and scheme in {"github", "gitlab"}:
        if _USER.fullmatch(rest) is None:
            raise ConfigError(text, f"not a user name of {scheme}: {rest!r}")
        base = services.github if scheme == "github" else services.gitlab
        return Source(text, url=f"{base}/{quote(rest)}.keys", person=rest)
    if scheme in {"http", "https"} and rest.startswith("//"):
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError("authorized keys", f"a URL cannot be read: {error}") from error
        if not host or port == 0:
            raise ConfigError(text, "the URL names no host, or a port that is none")
        if parts.scheme == "http" and host not in {"localhost", "127.0.0.1", "::1"}:
            raise ConfigError(text, "keys are only taken over https")
        if parts.username or parts.password:
            raise ConfigError(host, "a URL of keys may not contain a password")
        return Source(text, url=text)
    if not text.strip():
        raise ConfigError("authorized keys", "a source is empty")
    path = Path(text).expanduser()
    return Source(path.name, path=path)


class KeySources:
    """All sources together; the first one that lists a key says its name and role."""

    def __init__(
        self,
        sources: Sequence[str],
        cache_dir: Path,
        *,
        services: KeyServices | None = None,
        changed: Callable[[Mapping[Fingerprint, AuthorizedKey]], None] | None = None,
        report: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError for a source that cannot be understood."""
        self._sources = [parse_source(text, services) for text in sources]
        self._kept = {source: _SourceState() for source in self._sources}
        self._cache = cache_dir
        self._changed = changed
        self._report = report
        self._clock = clock
        for source in self._sources:
            if source.url:
                self._use_cache(source)

    @property
    def keys(self) -> dict[Fingerprint, AuthorizedKey]:
        """Every key by its fingerprint."""
        merged: dict[Fingerprint, AuthorizedKey] = {}
        for source in self._sources:
            for key in self._kept[source].keys:
                merged.setdefault(key.key.fingerprint, key)
        return merged

    @property
    def problems(self) -> list[str]:
        """What is wrong with the sources now; each names its file and line, or its URL."""
        return [problem for source in self._sources for problem in self._kept[source].problems]

    async def refresh(self, *, force: bool = False) -> None:
        """Read what has changed and fetch what is due (with `force`: everything)."""
        before = self.keys
        for source in self._sources:
            if source.path is not None:
                self._read_file(source, source.path)
        urls = [s for s in self._sources if s.url and (force or self._is_due(s))]
        if urls:
            trust = functools.cache(authorities)  # one for all, made when the first is asked
            await asyncio.gather(*(self._fetch(source, trust) for source in urls))
        if self._changed is not None and self.keys != before:
            self._changed(self.keys)

    async def run(self) -> None:
        """Keep everything fresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(FILE_INTERVAL)

    def _is_due(self, source: Source) -> bool:
        return self._clock() >= self._kept[source].due

    def _read_file(self, source: Source, path: Path) -> None:
        kept = self._kept[source]
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == kept.stamp:
                return
            text = _limited(path)
        except OSError as error:
            kept.keys, kept.stamp = [], None
            self._say(source, [f"{path}: {error.strerror or error}"])
            return
        kept.stamp = stamp
        kept.keys, problems = parse_authorized_keys(text, str(path), source.label)
        self._say(source, problems)

    async def _fetch(self, source: Source, trust: Callable[[], ssl.SSLContext]) -> None:
        kept = self._kept[source]
        try:
            text = await _download(source.url, trust())
            _check_keys(text, source)
        except (_FetchError, ConfigError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            kept.due = self._clock() + RETRY_INTERVAL
            why = clean(str(error), MAX_MESSAGE) or "no answer in time"
            old = "; the keys fetched earlier stay in use" if kept.keys else ""
            self._say(source, [f"{source.label}: {why}{old}"])
            return
        kept.due = self._clock() + FETCH_INTERVAL
        self._take(source, text)
        self._write_cache(source, text)

    def _take(self, source: Source, text: str) -> None:
        """Use fetched keys; a role given there is ignored, since a stranger's site wrote it."""
        keys, problems = parse_authorized_keys(text, source.label, source.label)
        self._kept[source].keys = [
            replace(key, name=key.name or source.person, role="") for key in keys
        ]
        self._say(source, problems)

    def _say(self, source: Source, problems: Sequence[str]) -> None:
        kept = self._kept[source]
        fresh = [problem for problem in problems if problem not in kept.problems]
        kept.problems = tuple(problems)
        if self._report is not None:
            for problem in fresh:
                self._report(problem)

    def _cache_file(self, source: Source) -> Path:
        return self._cache / f"{hashlib.sha256(source.url.encode()).hexdigest()[:32]}.keys"

    def _use_cache(self, source: Source) -> None:
        with contextlib.suppress(OSError):
            self._take(source, self._cache_file(source).read_text("utf-8", "replace"))

    def _write_cache(self, source: Source, text: str) -> None:
        file = self._cache_file(source)
        try:
            private_directory(self._cache)
            write_private(file, text.encode())
        except StateError as error:
            if self._report is not None:
                self._report(f"{error} (a cache)")


def _limited(path: Path) -> str:
    """The text of a file. Raises OSError, also above MAX_BYTES."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(f"larger than {MAX_BYTES} bytes")
    return _decoded(data)


def _decoded(data: bytes) -> str:
    """Text as editors save it: UTF-8 with a byte order mark or without, or UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    return data.decode("utf-8-sig", "replace")


def _check_keys(text: str, source: Source) -> None:
    """Raises _FetchError for an answer that has no key and is not empty: a page of words."""
    keys, problems = parse_authorized_keys(text, source.label, source.label)
    if problems and not keys:
        raise _FetchError(f"{source.url} answered with something that is no list of keys")


async def _download(url: str, trust: ssl.SSLContext) -> str:
    """The text at a URL, by the proxy that the environment names. Raises _FetchError, ConfigError,
    httpx.HTTPError, httpx.InvalidURL, TimeoutError."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    proxy, _ = proxy_for(parts.scheme, parts.hostname or "", port, kinds=("http", "https"))
    secured = trust if proxy and proxy.startswith("https:") else None
    try:
        async with httpx.AsyncClient(
            verify=trust,
            proxy=httpx.Proxy(proxy, ssl_context=secured) if proxy else None,
            trust_env=False,
            timeout=FETCH_TIMEOUT,
            follow_redirects=True,
            max_redirects=3,
        ) as client:
            response = await fetch(client, "GET", url, MAX_BYTES)
    except AnswerError as error:
        raise _FetchError(f"{url}: {error}") from error
    if not response.is_success:
        raise _FetchError(f"{url} answered {response.status_code}")
    return _decoded(response.content)
