"""TLS of a real relay: what it offers, and a renewal while a host logs in; haproxy in front."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.network.relay.haproxy import haproxy
from tests.network.relay.process import RelayProcess
from tests.network.relay.standin import DEADLINE, new_key
from tests.ports import free_port
from tests.unit.relay_api.test_whereabouts import certificate
from uptui.errors import RelayRefusedError, RelayUnreachableError
from uptui.host.relay_link.endpoint import RelayEndpoint, endpoint_of
from uptui.host.relay_link.relay_client import RelayClient
from uptui.host.relay_link.trust import tls_context
from uptui.relay.ingress.certificates import CIPHERS
from uptui.relay.settings import SocketAddress

PROXY = "127.0.0.2"
"""From where haproxy speaks to the relay; its clients come from 127.0.0.1."""


@contextlib.asynccontextmanager
async def relay(folder: Path, *flags: str) -> AsyncGenerator[tuple[RelayProcess, SocketAddress]]:
    process = RelayProcess(folder, "log")
    try:
        started = await process.start("--http", "127.0.0.1:0", "--ssh", "off", *flags)
        yield process, started.http
    finally:
        await process.kill()


async def openssl(*argv: str) -> str:
    """Both outputs of the real openssl."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["openssl", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=30,
    )
    return done.stdout.decode("utf-8", "replace")


async def offered(at: SocketAddress) -> set[str]:
    """The TLS 1.2 suites that the relay takes of all that openssl knows, found one by one: each
    that was taken is left out of the next offer."""
    taken: set[str] = set()
    while True:
        less = "".join(f":!{suite}" for suite in taken)
        shown = await openssl(
            *("s_client", "-connect", str(at), "-tls1_2", "-cipher", f"ALL:@SECLEVEL=0{less}")
        )
        suite = shown.partition("Cipher is ")[2].split()[:1]
        if not suite or suite == ["(NONE)"]:
            return taken
        assert suite[0] not in taken
        taken.add(suite[0])


async def test_only_modern_tls_is_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/absent/keys")
    async with relay(tmp_path / "r", "--self-signed") as (_, at):
        suites = await offered(at)
        assert suites == {
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        }
        for version in ("-tls1", "-tls1_1"):
            shown = await openssl(
                *("s_client", "-connect", str(at), version, "-cipher", "ALL:@SECLEVEL=0")
            )
            assert "Cipher is (NONE)" in shown, version
        shown = await openssl("s_client", "-connect", str(at), "-tls1_3")
        assert "New, TLSv1.3" in shown


async def test_the_list_has_nothing_old_whatever_the_key() -> None:
    for line in (await openssl("ciphers", "-v", "-tls1_2", "-s", CIPHERS)).splitlines():
        assert "Kx=ECDH" in line, line
        assert "Mac=AEAD" in line, line
        assert "TLSv1.2" in line or "TLSv1.3" in line, line


async def known(url: str, file: Path) -> tuple[RelayEndpoint, RelayClient]:
    """A host's client of a relay that shows the certificate in this file."""
    endpoint = replace(endpoint_of(url), ca_file=str(file))
    return endpoint, RelayClient(endpoint, await tls_context(endpoint))


async def test_a_login_under_way_outlives_a_renewal(tmp_path: Path) -> None:
    """Its connection shows the old certificate, new ones the new; SIGHUP is the renewal."""
    files = certificate(tmp_path, "IP:127.0.0.1")
    old = tmp_path / "old.pem"
    shutil.copy(files.certificate, old)
    flags = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    async with relay(tmp_path / "r", *flags) as (process, at):
        url = f"https://{at}"
        _, under_way = await known(url, old)
        async with under_way:
            await under_way.info()
            certificate(tmp_path, "IP:127.0.0.1")
            process.signal(signal.SIGHUP)
            async with asyncio.timeout(DEADLINE):
                while True:
                    _, fresh = await known(url, files.certificate)
                    try:
                        async with fresh:
                            assert (await fresh.login(new_key(), None)).access_token
                    except RelayUnreachableError as error:
                        assert "certificate verify failed" in str(error)  # noqa: PT017 - not yet
                        await asyncio.sleep(0.05)
                    else:
                        break
            assert (await under_way.login(new_key(), None)).access_token


HAPROXY = """\
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  source {proxy}
listen passed_v1
  mode tcp
  bind 127.0.0.1:{passed_v1}
  server relay {secure} send-proxy
listen passed_v2
  mode tcp
  bind 127.0.0.1:{passed_v2}
  server relay {secure} send-proxy-v2
listen ended
  mode http
  option forwardfor
  bind 127.0.0.1:{ended} ssl crt {pem}
  server relay {bare}
listen opened
  mode tcp
  bind 127.0.0.1:{opened} ssl crt {pem}
  server relay {secure} ssl verify none send-proxy-v2
listen unnamed
  mode http
  bind 127.0.0.1:{unnamed} ssl crt {pem}
  server relay {bare}
"""


async def test_haproxy_in_front_in_its_usual_shapes(tmp_path: Path) -> None:
    """TLS passed on with PROXY headers, TLS ended there, and what a missing --origin looks like."""
    ways = ("passed_v1", "passed_v2", "ended", "opened", "unnamed")
    near = {name: free_port() for name in ways}
    files = certificate(tmp_path, "IP:127.0.0.1")
    pem = tmp_path / "both.pem"
    pem.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())

    def origins(*names: str) -> list[str]:
        return [flag for name in names for flag in ("--origin", f"https://127.0.0.1:{near[name]}")]

    own = tmp_path / "secure" / "state" / "tls-certificate.pem"
    trusted = ("--trusted-proxies", PROXY)
    async with (
        relay(
            tmp_path / "secure",
            *("--self-signed", *trusted, *origins("passed_v1", "passed_v2", "opened")),
        ) as (_, secure),
        relay(tmp_path / "bare", "--websocket-only", *trusted, *origins("ended")) as (_, bare),
        haproxy(
            tmp_path,
            HAPROXY.format(**near, secure=secure, bare=bare, pem=pem, proxy=PROXY),
        ),
    ):

        async def login(way: str) -> str:
            """What comes of it."""
            file = own if way.startswith("passed") else files.certificate
            _, client = await known(f"https://127.0.0.1:{near[way]}", file)
            async with client, asyncio.timeout(DEADLINE):
                while True:
                    try:
                        await client.info()
                        await client.login(new_key(), None)
                    except RelayUnreachableError:
                        await asyncio.sleep(0.05)  # haproxy starts
                    except RelayRefusedError as error:
                        return f"{error.code}: {error}"
                    else:
                        return "in"

        for way in ("passed_v1", "passed_v2", "ended"):
            assert await login(way) == "in", way
        refused = await login("unnamed")
        assert refused.startswith("other_origin: ")
        assert f"uptui relay --origin https://127.0.0.1:{near['unnamed']}" in refused
        refused = await login("opened")
        assert refused.startswith("other_certificate: ")
        assert "something on the way opens the encryption" in refused
