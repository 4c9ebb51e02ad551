"""Hosts prove their identity over HTTP, and only those who may host are let in."""

import struct
import subprocess
from pathlib import Path

import pytest

from tests.network.relay_api.conftest import Api, Key, ServeApi
from uptui.protocol.relay_api import CHALLENGE_TTL, CREDENTIAL_TTL
from uptui.relay.accounts.auth import Hosting


async def test_ssh_keygen_can_log_in(api: Api, tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", key], check=True)
    public = (tmp_path / "id.pub").read_text()
    asked = (await api.client.post("/v1/challenges", json={"identity": public})).json()
    parts = ("log in to a uptui relay", asked["nonce"], api.url, "")
    signed = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", key, "-n", asked["namespace"]],
        input=b"".join(struct.pack(">I", len(part)) + part.encode() for part in parts),
        capture_output=True,
        check=True,
    )
    body = {
        "identity": public,
        "nonce": asked["nonce"],
        "origin": api.url,
        "signature": signed.stdout.decode(),
    }
    answer = await api.client.post("/v1/credentials", json=body)
    assert answer.status_code == 200
    identity = await api.services.authority.identity_of(answer.json()["access_token"])
    assert identity is not None
    assert public.startswith(identity.public_key)
    assert identity.fingerprint == answer.json()["fingerprint"]


@pytest.mark.parametrize(
    ("kind", "signature"),
    [
        ("ecdsa-sha2-nistp256", None),
        ("ssh-rsa", b"rsa-sha2-512"),
        ("ssh-rsa", b"rsa-sha2-256"),
    ],
)
async def test_other_key_types_log_in(api: Api, kind: str, signature: bytes | None) -> None:
    assert (await api.login(Key(kind, signature))).status_code == 200


async def test_sha1_signatures_are_refused(api: Api) -> None:
    answer = await api.login(Key("ssh-rsa", b"ssh-rsa"))
    assert answer.status_code == 401
    assert answer.json()["code"] == "bad_signature"


async def test_a_nonce_works_once(api: Api) -> None:
    key = Key()
    body = api.proof(key, await api.nonce(key))
    assert (await api.client.post("/v1/credentials", json=body)).status_code == 200
    again = await api.client.post("/v1/credentials", json=body)
    assert again.status_code == 401
    assert again.headers["content-type"] == "application/problem+json"


async def test_a_nonce_expires(api: Api) -> None:
    key = Key()
    nonce = await api.nonce(key)
    api.clock.now += CHALLENGE_TTL
    body = api.proof(key, nonce)
    assert (await api.client.post("/v1/credentials", json=body)).status_code == 401


async def test_a_nonce_of_another_key_or_namespace_is_refused(api: Api) -> None:
    key, other = Key(), Key()
    nonce = await api.nonce(key)
    stolen = api.proof(other, nonce)
    assert (await api.client.post("/v1/credentials", json=stolen)).status_code == 401
    forged = api.proof(key, nonce, signer=other)
    assert (await api.client.post("/v1/credentials", json=forged)).status_code == 401
    git = api.proof(key, nonce, "git")
    assert (await api.client.post("/v1/credentials", json=git)).status_code == 401


async def test_credentials_expire(api: Api) -> None:
    bearer = await api.bearer(Key())
    assert (await api.client.get("/v1/aliases", headers=bearer)).status_code == 200
    api.clock.now += CREDENTIAL_TTL
    refused = await api.client.get("/v1/aliases", headers=bearer)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"


async def test_the_join_token_lets_in(serve: ServeApi) -> None:
    secret = "correct horse battery"
    async with serve(hosting=Hosting("join-token", secret)) as api:
        assert (await api.login(Key(), secret)).status_code == 200
        for wrong in (None, "", secret[:-1], secret + "x"):
            refused = await api.login(Key(), wrong)
            assert refused.status_code == 403
            assert refused.json()["code"] == "not_allowed"


async def test_the_keys_file_lets_in_and_is_read_again(serve: ServeApi, tmp_path: Path) -> None:
    listed, later = Key(), Key()
    file = tmp_path / "authorized_keys"
    file.write_text(f"# hosts\n\nrestrict {listed.text} laptop\n")
    async with serve(hosting=Hosting("keys", keys_file=file)) as api:
        bearer = await api.bearer(listed)
        assert (await api.login(later)).status_code == 403
        file.write_text(f"{later.text} other\n")
        assert (await api.login(later)).status_code == 200
        assert (await api.client.get("/v1/aliases", headers=bearer)).status_code == 401


async def test_account_tokens_let_in_until_revoked(serve: ServeApi) -> None:
    async with serve(hosting=Hosting("accounts")) as api:
        await api.client.put("/v1/accounts/team", json={}, headers=api.admin)
        wish = {"account": "team", "scopes": ["host"], "expires_in": 100.0}
        issued = await api.client.put("/v1/tokens/laptop", json=wish, headers=api.admin)
        secret = issued.json()["secret"]
        assert (await api.login(Key())).status_code == 403
        bearer = await api.bearer(Key(), secret)
        identity = await api.services.authority.identity_of(bearer["Authorization"][7:])
        assert identity is not None
        assert identity.account == "team"
        await api.client.delete("/v1/tokens/laptop", headers=api.admin)
        assert (await api.login(Key(), secret)).status_code == 403
        assert (await api.client.get("/v1/aliases", headers=bearer)).status_code == 401


async def test_account_tokens_expire_and_disabled_accounts_are_shut_out(serve: ServeApi) -> None:
    async with serve(hosting=Hosting("accounts")) as api:
        await api.client.put("/v1/accounts/team", json={}, headers=api.admin)
        wish = {"account": "team", "scopes": ["host"], "expires_in": 100.0}
        issued = await api.client.put("/v1/tokens/laptop", json=wish, headers=api.admin)
        secret = issued.json()["secret"]
        bearer = await api.bearer(Key(), secret)
        await api.client.put("/v1/accounts/team", json={"disabled": True}, headers=api.admin)
        assert (await api.login(Key(), secret)).status_code == 403
        assert (await api.client.get("/v1/aliases", headers=bearer)).status_code == 401
        await api.client.put("/v1/accounts/team", json={}, headers=api.admin)
        assert (await api.login(Key(), secret)).status_code == 200
        api.clock.now += 100.0
        assert (await api.login(Key(), secret)).status_code == 403


async def test_a_token_without_the_scope_host_does_not_let_in(serve: ServeApi) -> None:
    async with serve(hosting=Hosting("accounts")) as api:
        wish = {"scopes": ["read"]}
        issued = await api.client.put("/v1/tokens/monitor", json=wish, headers=api.admin)
        assert (await api.login(Key(), issued.json()["secret"])).status_code == 403


async def test_a_blocked_identity_is_shut_out_at_once(api: Api) -> None:
    key = Key()
    bearer = await api.bearer(key)
    block = {"fingerprint": key.fingerprint, "blocked": True}
    done = await api.client.put("/v1/blocks", json=block, headers=api.admin)
    assert done.status_code == 204
    assert (await api.client.get("/v1/aliases", headers=bearer)).status_code == 401
    assert (await api.login(key)).status_code == 403
    block["blocked"] = False
    await api.client.put("/v1/blocks", json=block, headers=api.admin)
    assert (await api.login(key)).status_code == 200


async def test_credentials_survive_a_restart_and_are_stored_only_as_digests(
    serve: ServeApi,
) -> None:
    async with serve() as api:
        bearer = await api.bearer(Key())
        dump = (await api.client.get("/v1/backup", headers=api.admin)).text
        assert bearer["Authorization"][7:] not in dump
        assert api.admin["Authorization"][7:] not in dump
    async with serve() as api:
        assert (await api.client.get("/v1/aliases", headers=bearer)).status_code == 200
