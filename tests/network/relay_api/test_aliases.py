"""Aliases over HTTP: owned, pinned, kept, released, handed over."""

import asyncio

from tests.network.relay_api.conftest import Api, Key, ServeApi
from uptui.relay.accounts.alias_service import NameSettings
from uptui.relay.accounts.quotas import Quotas


async def claim(api: Api, bearer: dict[str, str], name: str, **body: object) -> dict[str, object]:
    answer = await api.client.put(f"/v1/aliases/{name}", json=body, headers=bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_claimed_alias_has_a_port_and_known_hosts_lines(api: Api) -> None:
    key = Key()
    bearer = await api.bearer(key)
    alias = await claim(api, bearer, "demo-box", host_key=key.text)
    assert alias["owner"] == key.fingerprint
    assert alias["host_key_fingerprint"] == key.fingerprint
    assert alias["port"] in range(20000, 20010)
    assert f"[localhost]:{alias['port']} {key.text}" in alias["known_hosts"]  # type: ignore[operator]
    assert alias["online"] is False


async def test_claiming_again_changes_nothing_but_the_last_use(api: Api) -> None:
    key = Key()
    bearer = await api.bearer(key)
    first = await claim(api, bearer, "demo-box", host_key=key.text)
    api.clock.now += 10
    second = await claim(api, bearer, "demo-box", host_key=key.text)
    assert second == first | {
        "last_used_at": api.clock.now,
        "expires_at": api.clock.now + 90 * 86400,
    }


async def test_a_taken_alias_is_refused_with_free_suggestions(api: Api) -> None:
    await claim(api, await api.bearer(Key()), "demo-box")
    other = await api.bearer(Key())
    refused = await api.client.put("/v1/aliases/demo-box", json={}, headers=other)
    assert refused.status_code == 409
    assert refused.json()["code"] == "taken"
    free = (await api.client.get("/v1/names/demo-box")).json()
    assert free["available"] is False
    assert free["suggestions"] == refused.json()["suggestions"]
    for name in free["suggestions"]:
        assert (await api.client.get(f"/v1/names/{name}")).json()["available"] is True
        await claim(api, other, name)


async def test_only_one_of_many_claimants_wins(api: Api) -> None:
    bearers = [await api.bearer(Key()) for _ in range(8)]
    answers = await asyncio.gather(
        *(api.client.put("/v1/aliases/wanted", json={}, headers=bearer) for bearer in bearers)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


async def test_impossible_names_are_explained(api: Api) -> None:
    bearer = await api.bearer(Key())
    for name, code in (("ab", "invalid_name"), ("UP", "invalid_name"), ("admin", "reserved")):
        refused = await api.client.put(f"/v1/aliases/{name}", json={}, headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        asked = (await api.client.get(f"/v1/names/{name}")).json()
        assert asked["available"] is False
        assert asked["reason"] == refused.json()["detail"]


async def test_another_host_key_needs_the_owners_word(api: Api) -> None:
    key, fresh = Key(), Key()
    bearer = await api.bearer(key)
    first = await claim(api, bearer, "demo-box", host_key=key.text)
    refused = await api.client.put(
        "/v1/aliases/demo-box", json={"host_key": fresh.text}, headers=bearer
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "host_key_mismatch")
    rotated = await claim(api, bearer, "demo-box", host_key=fresh.text, rotate_host_key=True)
    assert rotated["host_key_fingerprint"] == fresh.fingerprint
    assert rotated["port"] == first["port"]


async def test_others_can_neither_see_nor_release_nor_transfer(api: Api) -> None:
    await claim(api, await api.bearer(Key()), "demo-box")
    thief = Key()
    bearer = await api.bearer(thief)
    assert (await api.client.get("/v1/aliases/demo-box", headers=bearer)).status_code == 404
    assert (await api.client.delete("/v1/aliases/demo-box", headers=bearer)).status_code == 409
    moved = await api.client.post(
        "/v1/aliases/demo-box/transfer", json={"to": thief.text}, headers=bearer
    )
    assert moved.status_code == 409
    assert api.live.closed == []


async def test_a_released_alias_is_free_at_once(api: Api) -> None:
    bearer = await api.bearer(Key())
    old = await claim(api, bearer, "demo-box")
    gone = await api.client.delete("/v1/aliases/demo-box", headers=bearer)
    assert gone.status_code == 204
    assert api.live.closed == ["demo-box"]
    again = await api.client.delete("/v1/aliases/demo-box", headers=bearer)
    assert again.status_code == 404
    new = await claim(api, await api.bearer(Key()), "demo-box")
    assert new["port"] != old["port"]


async def test_a_transferred_alias_keeps_port_and_pinned_key(api: Api) -> None:
    giver, taker = Key(), Key()
    bearer = await api.bearer(giver)
    old = await claim(api, bearer, "demo-box", host_key=giver.text)
    for _ in range(2):
        moved = await api.client.post(
            "/v1/aliases/demo-box/transfer", json={"to": taker.text}, headers=api.admin
        )
        assert moved.status_code == 200
        assert moved.json()["owner"] == taker.fingerprint
        assert moved.json()["port"] == old["port"]
    assert (await api.client.get("/v1/aliases/demo-box", headers=bearer)).status_code == 404
    refused = await api.client.put(
        "/v1/aliases/demo-box", json={"host_key": taker.text}, headers=await api.bearer(taker)
    )
    assert refused.json()["code"] == "host_key_mismatch"


async def test_an_alias_is_kept_for_its_ttl_after_the_last_use(api: Api) -> None:
    owner, other = Key(), Key()
    await claim(api, await api.bearer(owner), "demo-box")
    api.clock.now += 90 * 86400 - 1
    late = await api.bearer(other)
    assert (await api.client.put("/v1/aliases/demo-box", json={}, headers=late)).status_code == 409
    api.clock.now += 1
    taken = await claim(api, late, "demo-box")
    assert taken["owner"] == other.fingerprint


async def test_the_quota_of_aliases_holds(serve: ServeApi) -> None:
    names = NameSettings(quotas=Quotas(max_aliases=2))
    async with serve(names=names) as api:
        bearer = await api.bearer(Key())
        await claim(api, bearer, "one-box")
        await claim(api, bearer, "two-box")
        refused = await api.client.put("/v1/aliases/three-box", json={}, headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (403, "quota")
        await claim(api, bearer, "two-box")
        await api.client.delete("/v1/aliases/one-box", headers=bearer)
        await claim(api, bearer, "three-box")


async def test_an_account_owns_aliases_for_all_its_machines(api: Api) -> None:
    await api.client.put("/v1/accounts/team", json={"max_aliases": 1}, headers=api.admin)
    wish = {"account": "team", "scopes": ["host", "aliases"]}
    issued = await api.client.put("/v1/tokens/ci-runners", json=wish, headers=api.admin)
    secret = issued.json()["secret"]
    token = {"Authorization": f"Bearer {secret}"}
    assert (await claim(api, token, "team-box"))["owner"] == "account:team"
    machine = await api.bearer(Key(), secret)
    assert (await claim(api, machine, "team-box"))["owner"] == "account:team"
    refused = await api.client.put("/v1/aliases/second-box", json={}, headers=machine)
    assert refused.json()["code"] == "quota"


async def test_pages_cover_every_alias_once(api: Api) -> None:
    bearer = await api.bearer(Key())
    names = sorted(f"box-{number}" for number in range(7))
    for name in names:
        await claim(api, bearer, name)
    await claim(api, await api.bearer(Key()), "box-99")
    seen: list[str] = []
    after = ""
    while True:
        query = {"limit": 3, "after": after}
        page = (await api.client.get("/v1/aliases", params=query, headers=bearer)).json()
        seen += [alias["name"] for alias in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == names
    everybody = {"everybody": True}
    assert (
        await api.client.get("/v1/aliases", params=everybody, headers=bearer)
    ).status_code == 403
    all_of_them = await api.client.get("/v1/aliases", params=everybody, headers=api.admin)
    assert len(all_of_them.json()["items"]) == 8
