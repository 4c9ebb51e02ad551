"""Tests the way to the relay and the machine step by step, each with what to do about a failure."""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from uptui.config import Settings
from uptui.errors import UptuiError
from uptui.host.keys.identity import load_identity
from uptui.host.relay_link.endpoint import RelayEndpoint
from uptui.host.relay_link.relay_client import RelayClient
from uptui.host.relay_link.sockets import connect
from uptui.host.relay_link.streams import probe, websocket_problem
from uptui.host.relay_link.trust import plain_http, tls_context
from uptui.host.settings_map import ssh_settings
from uptui.host.sshd.sessions.environment import Environment
from uptui.host.unforeseen import report_unforeseen
from uptui.net.fetching import AnswerError, fetch
from uptui.paths import Places
from uptui.protocol.host_api import Check
from uptui.protocol.relay_api import RelayInfo
from uptui.runtime import musl
from uptui.text import MAX_MESSAGE, clean

MAX_CLOCK_SKEW: Final = 60.0
"""Seconds by which our clock may differ from the relay's."""
LOW_DISK: Final = 50 * 1024 * 1024
SSH_TIMEOUT: Final = 8.0


class _FailedError(Exception):
    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.hint = hint


class _DoubtfulError(_FailedError):
    """A warning."""


class _NotNeededError(_FailedError):
    """Skipped."""


async def _check(name: str, look: Callable[[], Awaitable[str]]) -> Check:
    started = time.monotonic()
    status, hint = "ok", ""
    try:
        detail = await look()
    except _NotNeededError as error:
        status, detail = "skipped", str(error)
    except _DoubtfulError as error:
        status, detail, hint = "warning", str(error), error.hint
    except _FailedError as error:
        status, detail, hint = "failed", str(error), error.hint
    except (UptuiError, OSError) as error:
        status, detail = "failed", clean(str(error), MAX_MESSAGE) or type(error).__name__
    except Exception as error:  # noqa: BLE001 - an odd answer fails its own check, not the others
        report_unforeseen(f"the check {name}", error)
        status, detail = "failed", f"an answer that cannot be understood ({type(error).__name__})"
    took = round((time.monotonic() - started) * 1000, 1)
    return Check(name=name, status=status, detail=detail, hint=hint, took_ms=took)


class _Examination:
    """One run; later steps use what earlier ones found."""

    def __init__(self, settings: Settings, places: Places, endpoint: RelayEndpoint | None) -> None:
        self.settings = settings
        self.places = places
        self.endpoint = endpoint
        self.info: RelayInfo | None = None

    def relay(self) -> RelayEndpoint:
        if self.endpoint is None:
            raise _NotNeededError("no relay is configured: our own runs inside the daemon")
        return self.endpoint

    def relay_info(self) -> RelayInfo:
        self.relay()
        if self.info is None:
            raise _NotNeededError("the relay's API does not answer")
        return self.info

    async def dns(self) -> str:
        endpoint = self.relay()
        if endpoint.proxy is not None:
            raise _NotNeededError("the proxy resolves names")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except OSError as error:
            hint = "check the relay's name and this machine's DNS"
            raise _FailedError(f"{endpoint.host}: {error}", hint) from error
        return ", ".join(sorted({str(entry[4][0]) for entry in found}))

    async def proxy(self) -> str:
        endpoint = self.relay()
        if endpoint.proxy is None:
            raise _NotNeededError("none is configured")
        shown = httpx.URL(endpoint.proxy)
        async with asyncio.timeout(SSH_TIMEOUT):
            (await connect(shown.host, shown.port or 3128)).close()
        return f"{shown.host}:{shown.port or 3128} from {endpoint.proxy_origin}"

    async def tls(self) -> str:
        endpoint = self.relay()
        if endpoint.scheme == "http":
            warning = await plain_http(endpoint)
            if warning:
                raise _DoubtfulError(warning, "give the relay a certificate, or --self-signed")
            raise _NotNeededError("plain http on this machine")
        context = await tls_context(endpoint)
        if endpoint.proxy is not None:
            return "checked with the API, through the proxy"
        sock = await connect(endpoint.host, endpoint.port)
        try:
            _, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=endpoint.host
            )
        except OSError as error:
            sock.close()
            hint = "trust its authority with ca_file, or pin it with #sha256=... in the URL"
            raise _FailedError(str(error), hint) from error
        version: str = writer.get_extra_info("ssl_object").version()
        writer.close()
        return f"{version}, {'pinned' if endpoint.pin else 'verified'}"

    async def api(self) -> str:
        endpoint = self.relay()
        async with RelayClient(endpoint, await tls_context(endpoint)) as client:
            self.info = await client.info()
        return f"{endpoint.shown}: uptui relay {self.info.version}, hosting {self.info.hosting}"

    async def login(self) -> str:
        self.relay_info()
        endpoint = self.relay()
        origin = self.settings.origin("host.identity").where
        if self.settings.host.identity is None and not self.places.identity_file.exists():
            raise _NotNeededError("there is no identity yet: it is made at the first start")
        key = load_identity(self.settings.host.identity, origin, self.places.identity_file)
        async with RelayClient(endpoint, await tls_context(endpoint)) as client:
            credential = await client.login(key, self.settings.host.join_token)
        return f"accepted as {credential.fingerprint}"

    async def clock(self) -> str:
        self.relay_info()
        endpoint = self.relay()
        context = await tls_context(endpoint)
        async with httpx.AsyncClient(
            verify=context or False, proxy=endpoint.proxy, trust_env=False
        ) as client:
            try:
                response = await fetch(client, "GET", f"{endpoint.url}/v1/info")
            except (httpx.HTTPError, AnswerError) as error:
                raise _FailedError(clean(str(error), MAX_MESSAGE)) from error
        date = response.headers.get("date")
        if date is None:
            raise _NotNeededError("the relay does not say its time")
        skew = time.time() - parsedate_to_datetime(date).timestamp()
        if abs(skew) > MAX_CLOCK_SKEW:
            raise _DoubtfulError(
                f"differs from the relay's by {skew:.0f} s", "set this machine's clock"
            )
        return f"within {max(1.0, abs(skew)):.0f} s of the relay's"

    async def stream(self) -> str:
        self.relay_info()
        endpoint = self.relay()
        if endpoint.proxy is not None:
            raise _NotNeededError("streams are WebSockets through the proxy")
        problem = await probe(endpoint.host, endpoint.port)
        if problem:
            hint = "streams fall back to WebSockets, which is slower"
            raise _DoubtfulError(problem, hint)
        return f"{endpoint.host} port {endpoint.port} takes raw streams"

    async def websocket(self) -> str:
        self.relay_info()
        endpoint = self.relay()
        problem = await websocket_problem(endpoint, await tls_context(endpoint))
        if problem:
            hint = "let the proxy in between pass WebSockets (Upgrade and Connection headers)"
            raise _FailedError(problem, hint)
        return f"come through{' the proxy' if endpoint.proxy else ''}"

    async def ssh(self) -> str:
        info = self.relay_info()
        if info.ssh_port is None:
            raise _NotNeededError("the relay has no SSH gateway")
        if self.relay().proxy is not None:
            raise _NotNeededError("only clients need it, and we are behind a proxy")
        async with asyncio.timeout(SSH_TIMEOUT):
            reader, writer = await asyncio.open_connection(info.public_host, info.ssh_port)
            banner = await reader.readline()
            writer.close()
        if not banner.startswith(b"SSH-2.0-"):
            raise _FailedError(f"{info.public_host} port {info.ssh_port} does not speak SSH")
        return f"{info.public_host} port {info.ssh_port}"

    async def shell(self) -> str:
        account = Environment(ssh_settings(self.settings, "host"), os.environ).account
        if not os.access(account.shell, os.X_OK):
            raise _FailedError(f"{account.shell} cannot be run", "set shell to one that exists")
        return f"{account.shell} for {account.name} in {account.home}"

    async def library(self) -> str:
        found = await asyncio.to_thread(musl.version)
        if found is None:
            raise _NotNeededError("not musl")
        if problem := musl.problem(found):
            raise _FailedError(problem, musl.ADVICE)
        return f"musl {'.'.join(map(str, found))}"

    async def terminal(self) -> str:
        if not sys.stdout.isatty():
            raise _NotNeededError("not run in a terminal")
        term = os.environ.get("TERM", "")
        encoding = (sys.stdout.encoding or "").lower()
        if term in {"", "dumb"}:
            raise _DoubtfulError(
                f"TERM is {term!r}", "the TUI needs a terminal such as xterm-256color"
            )
        if "utf" not in encoding:
            raise _DoubtfulError(
                f"{term}, {encoding}", "without UTF-8 the TUI draws with ASCII only"
            )
        return f"{term}, {encoding}, {shutil.get_terminal_size().columns} columns"

    async def state(self) -> str:
        path = self.places.state_dir
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        if not os.access(existing, os.W_OK):
            raise _FailedError(
                f"{existing} cannot be written", "set UPTUI_STATE_DIR to another place"
            )
        free = shutil.disk_usage(existing).free
        if free < LOW_DISK:
            raise _DoubtfulError(f"{existing}: only {free // 1024} kB are free", "make room")
        return f"{path}, {free // 1024**2} MB free"


async def examine(
    settings: Settings, places: Places, endpoint: RelayEndpoint | None
) -> list[Check]:
    """Every check in order; never raises for what it finds."""
    look = _Examination(settings, places, endpoint)
    steps = (
        ("DNS", look.dns),
        ("Proxy", look.proxy),
        ("TLS", look.tls),
        ("API", look.api),
        ("Login", look.login),
        ("WebSocket", look.websocket),
        ("Stream port", look.stream),
        ("SSH gateway", look.ssh),
        ("Clock", look.clock),
        ("C library", look.library),
        ("Shell", look.shell),
        ("Terminal", look.terminal),
        ("State directory", look.state),
    )
    return [await _check(name, step) for name, step in steps]
