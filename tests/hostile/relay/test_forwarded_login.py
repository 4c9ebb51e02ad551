"""A relay that passes another relay's challenge on to a host gets nothing there for the answer."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.network.relay.process import RelayProcess
from tests.network.relay.standin import new_key, proof
from uptui.errors import RelayRefusedError
from uptui.host.relay_link.endpoint import RelayEndpoint, endpoint_of
from uptui.host.relay_link.relay_client import RelayClient
from uptui.host.relay_link.trust import tls_context
from uptui.protocol.login import Origin, Statement
from uptui.protocol.relay_api import Challenge, Credential, CredentialRequest
from uptui.relay.accounts.login_origin import Meeting
from uptui.relay.ingress.self_signed import self_made
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings, SocketAddress, Tls

LOOPBACK = SocketAddress("127.0.0.1", 0)


class Forwarder:
    """The evil relay: the real one, whose challenges and logins are another relay's."""

    def __init__(self, relay: Relay, victim: str, trust: ssl.SSLContext | bool) -> None:
        self.loot: list[httpx.Response] = []
        """What the other relay said to each login that was passed on."""
        self.victim = httpx.Client(base_url=victim, verify=trust, trust_env=False)
        relay.services.authority.challenge = self.challenge
        relay.services.authority.login = self.login

    def challenge(self, public_key: str) -> Challenge:
        asked = self.victim.post("/v1/challenges", json={"identity": public_key})
        return msgspec.json.decode(asked.raise_for_status().content, type=Challenge)

    async def login(self, request: CredentialRequest, meeting: Meeting) -> Credential:
        """As it came, and with everything made to look like the other relay's."""
        del meeting
        given = asdict(request)
        theirs = str(Origin.parse(str(self.victim.base_url)))
        for lie in ({}, {"origin": theirs}, {"origin": theirs, "certificate": ""}):
            self.loot.append(self.victim.post("/v1/credentials", json=given | lie))
        raise RelayRefusedError("not_allowed", "thank you")


@asynccontextmanager
async def relays(folder: Path, *flags: str, tls: bool) -> AsyncGenerator[tuple[Forwarder, str]]:
    """The evil relay and its URL (pinned); `{evil}` in the honest one's flags is that origin."""
    made = self_made(folder / "evil", "127.0.0.1")
    files = Tls(made.certificate, made.key, made.sha256) if tls else None
    evil = Relay(RelaySettings(folder / "evil", "127.0.0.1", http=LOOPBACK, tls=files))
    http = (await evil.start()).http
    url = evil.settings.join_url(http.port)
    honest = RelayProcess(folder / "honest", "log")
    try:
        addresses = await honest.start(
            *("--http", "127.0.0.1:0", "--ssh", "off"),
            *(("--self-signed",) if tls else ()),
            *(flag.format(evil=url.partition("#")[0]) for flag in flags),
        )
        trust: ssl.SSLContext | bool = False
        if tls:
            trust = ssl.create_default_context(
                cafile=str(folder / "honest" / "state" / "tls-certificate.pem")
            )
        victim = f"http{'s' if tls else ''}://{addresses.http}"
        forwarder = Forwarder(evil, victim, trust)
        with forwarder.victim:
            yield forwarder, url
    finally:
        await honest.kill()
        await evil.close(0)


async def fall_for(url: str) -> RelayEndpoint:
    """A host logs in at the evil relay."""
    endpoint = endpoint_of(url)
    async with RelayClient(endpoint, await tls_context(endpoint)) as client:
        with pytest.raises(RelayRefusedError, match="thank you"):
            await client.login(new_key(), None)
    return endpoint


def problems(evil: Forwarder) -> list[tuple[int, str]]:
    """Nothing that was passed on gave a bearer; why."""
    assert not any("access_token" in answer.text for answer in evil.loot)
    return [(answer.status_code, answer.json()["code"]) for answer in evil.loot]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_what_a_host_signs_for_one_relay_is_worth_nothing_at_another(
    tmp_path: Path, tls: bool
) -> None:
    async with relays(tmp_path, tls=tls) as (evil, url):
        endpoint = await fall_for(url)
        broken = (422, "validation") if tls else (401, "bad_signature")
        assert problems(evil) == [(403, "other_origin"), (401, "bad_signature"), broken]
        detail = evil.loot[0].json()["detail"]
        assert f"signed for {endpoint.url}," in detail
        assert f"uptui relay --origin {endpoint.url}" in detail


async def test_nor_where_both_have_one_address_but_two_certificates(tmp_path: Path) -> None:
    """The same private address in two networks, say, or a name that was taken over."""
    async with relays(tmp_path, "--origin", "{evil}", tls=True) as (evil, url):
        await fall_for(url)
        assert problems(evil)[0] == (403, "other_certificate")


async def test_headers_do_not_make_an_address_the_relays(tmp_path: Path) -> None:
    """The relay believes what it sees of the connection, never a header."""
    process = RelayProcess(tmp_path / "r", "log")
    addresses = await process.start("--http", "127.0.0.1:0", "--ssh", "off")
    key = new_key()
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "443",
        "Host": "evil.example",
    }
    try:
        async with httpx.AsyncClient(base_url=f"http://{addresses.http}", trust_env=False) as http:
            body = {"identity": key.export_public_key().decode()}
            nonce = (await http.post("/v1/challenges", json=body)).json()["nonce"]
            for origin in ("https://evil.example:443", "http://evil.example:80"):
                seen = bytes(32) if origin.startswith("https") else b""
                said = proof(key, Statement(nonce, Origin.parse(origin), seen))
                refused = await http.post("/v1/credentials", json=said, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (403, "other_origin")
    finally:
        await process.kill()
