"""Sessions, accounts, tokens, backup and restore over HTTP; health, metrics and the status page."""

import json
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime

from tests.network.relay_api.conftest import Api, Key, ServeApi
from tests.network.relay_api.test_publishing import live_host
from uptui.relay.accounts.auth import Hosting


async def test_administration_needs_an_admin(api: Api) -> None:
    wish = {"scopes": ["read"]}
    issued = await api.client.put("/v1/tokens/monitor", json=wish, headers=api.admin)
    reader = {"Authorization": f"Bearer {issued.json()['secret']}"}
    identity = await api.bearer(Key())
    for path in ("/v1/sessions", "/v1/accounts", "/v1/tokens"):
        assert (await api.client.get(path)).status_code == 401
        assert (await api.client.get(path, headers=identity)).status_code == 403
        assert (await api.client.get(path, headers=reader)).status_code == 200
        assert (await api.client.get(path, headers=api.admin)).status_code == 200
    for method, path in (
        ("PUT", "/v1/accounts/team"),
        ("DELETE", "/v1/tokens/monitor"),
        ("GET", "/v1/backup"),
        ("POST", "/v1/restore"),
    ):
        for bearer in (identity, reader):
            answer = await api.client.request(method, path, headers=bearer, json={})
            assert answer.status_code == 403, path


async def test_sessions_are_listed_and_disconnected(api: Api) -> None:
    api.live.hosts = [live_host(f"s{n}", Key(), None) for n in range(3)]
    first = await api.client.get("/v1/sessions", params={"limit": 2}, headers=api.admin)
    assert [session["id"] for session in first.json()["items"]] == ["s0", "s1"]
    query = {"after": first.json()["next"]}
    second = await api.client.get("/v1/sessions", params=query, headers=api.admin)
    assert [session["id"] for session in second.json()["items"]] == ["s2"]
    ended = await api.client.delete("/v1/sessions/s1?message=bye", headers=api.admin)
    assert ended.status_code == 204
    assert api.live.disconnected == [("s1", "bye")]
    gone = await api.client.delete("/v1/sessions/nobody", headers=api.admin)
    assert gone.status_code == 404


async def test_closing_an_account_disconnects_its_hosts(api: Api) -> None:
    api.live.hosts = [live_host("mine", Key(), "team"), live_host("other", Key(), None)]
    await api.client.put("/v1/accounts/team", json={}, headers=api.admin)
    assert api.live.disconnected == []
    await api.client.put("/v1/accounts/team", json={"disabled": True}, headers=api.admin)
    assert [session for session, _ in api.live.disconnected] == ["mine"]
    await api.client.delete("/v1/accounts/team", headers=api.admin)
    assert len(api.live.disconnected) == 2
    assert (await api.client.get("/v1/accounts", headers=api.admin)).json()["items"] == []


async def test_revoking_a_token_disconnects_the_hosts_that_it_let_in(api: Api) -> None:
    await api.client.put("/v1/accounts/team", json={}, headers=api.admin)
    wish = {"account": "team", "scopes": ["host"]}
    issued = await api.client.put("/v1/tokens/laptop", json=wish, headers=api.admin)
    bearer = await api.bearer(Key(), issued.json()["secret"])
    identity = await api.services.authority.identity_of(bearer["Authorization"][7:])
    assert identity is not None
    assert identity.token == "laptop"
    one, other = live_host("one", Key(), "team"), live_host("other", Key(), "team")
    api.live.hosts = [replace(one, token="laptop"), other]
    await api.client.delete("/v1/tokens/laptop", headers=api.admin)
    assert [session for session, _ in api.live.disconnected] == ["one"]


async def test_accounts_show_quotas_and_use(api: Api) -> None:
    api.services.usage.add("account:team", received=10, sent=5, streams=2)
    await api.services.usage.flush()
    made = await api.client.put("/v1/accounts/team", json={"max_aliases": 3}, headers=api.admin)
    again = await api.client.put("/v1/accounts/team", json={"max_aliases": 3}, headers=api.admin)
    assert made.json() == again.json()
    assert made.json()["max_aliases"] == 3
    assert made.json()["max_sessions"] == 20
    assert made.json()["bytes_this_month"] == 15
    assert made.json()["streams_this_month"] == 2


async def test_reissuing_a_token_replaces_its_secret(api: Api) -> None:
    wish = {"scopes": ["read"], "label": "Grafana"}
    first = await api.client.put("/v1/tokens/monitor", json=wish, headers=api.admin)
    second = await api.client.put("/v1/tokens/monitor", json=wish, headers=api.admin)
    old, new = first.json()["secret"], second.json()["secret"]
    assert old != new
    sessions = "/v1/sessions"
    bearer = {"Authorization": f"Bearer {old}"}
    assert (await api.client.get(sessions, headers=bearer)).status_code == 401
    bearer = {"Authorization": f"Bearer {new}"}
    assert (await api.client.get(sessions, headers=bearer)).status_code == 200
    listed = (await api.client.get("/v1/tokens", headers=api.admin)).text
    assert "Grafana" in listed
    assert new not in listed


async def test_a_backup_moves_to_another_relay_and_a_cut_one_changes_nothing(
    api: Api, serve: ServeApi
) -> None:
    bearer = await api.bearer(Key())
    claimed = await api.client.put("/v1/aliases/demo-box", json={}, headers=bearer)
    copy = (await api.client.get("/v1/backup", headers=api.admin)).content
    await api.client.delete("/v1/aliases/demo-box", headers=bearer)
    cut = copy[: copy.rindex(b'{"end"')]
    wrong = copy.replace(b'"owner"', b'"king"')
    for damaged in (b"", cut, wrong, b"{}\n", b"nonsense\n"):
        refused = await api.client.post("/v1/restore", content=damaged, headers=api.admin)
        assert refused.status_code == 422, damaged
        assert "nothing was restored" in refused.json()["detail"]
    assert (await api.client.get("/v1/aliases", headers=bearer)).json()["items"] == []
    restored = await api.client.post("/v1/restore", content=copy, headers=api.admin)
    assert restored.status_code == 200, restored.text
    assert restored.json()["rows"]["aliases"] == 1
    back = await api.client.get("/v1/aliases/demo-box", headers=bearer)
    assert back.json() == claimed.json()


async def test_errors_are_problems(api: Api) -> None:
    missing = await api.client.get("/v1/nowhere")
    wrong = await api.client.post("/v1/challenges", json={"identity": 5})
    method = await api.client.delete("/v1/info")
    key = await api.client.post("/v1/challenges", json={"identity": "ssh-dss AAAA"})
    large = await api.client.post("/v1/challenges", content=b"x" * 70_000)
    expected = [(missing, 404), (wrong, 422), (method, 405), (key, 422), (large, 413)]
    for answer, status in expected:
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.json()["code"]
        assert answer.headers["x-request-id"]
    assert wrong.json()["errors"][0].startswith("body.identity")


async def test_head_is_get_without_the_body(api: Api) -> None:
    for path in ("/", "/healthz", "/readyz", "/v1/info"):
        shown, asked = await api.client.get(path), await api.client.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-length"] == shown.headers["content-length"]
    assert (await api.client.head("/v1/nowhere")).status_code == 404
    assert (await api.client.delete("/healthz")).headers["allow"] == "GET, HEAD"


async def test_answers_tell_the_time_for_hosts_whose_clock_is_wrong(api: Api) -> None:
    told = parsedate_to_datetime((await api.client.get("/v1/info")).headers["date"])
    assert abs(told.timestamp() - time.time()) < 30


async def test_a_chunked_body_is_limited_too(api: Api) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b"x" * 1024

    answer = await api.client.post("/v1/challenges", content=endless())  # type: ignore[arg-type]
    assert answer.status_code == 413


async def test_rate_limits_say_when_to_come_back(serve: ServeApi) -> None:
    async with serve(requests_per_minute=20, logins_per_minute=3) as api:
        body = {"identity": Key().text}
        codes = [(await api.client.post("/v1/challenges", json=body)).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        while (answer := await api.client.get("/v1/info")).status_code == 200:
            pass
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["code"] == "rate_limited"
        assert (await api.client.get("/healthz")).status_code == 200


async def test_only_trusted_proxies_name_the_client(serve: ServeApi) -> None:
    async with serve(requests_per_minute=2, trusted_proxies=("127.0.0.1",)) as api:
        for number in range(4):
            forwarded = {"X-Forwarded-For": f"192.0.2.{number}"}
            assert (await api.client.get("/v1/info", headers=forwarded)).status_code == 200
    async with serve(requests_per_minute=2) as api:
        codes = [
            (
                await api.client.get("/v1/info", headers={"X-Forwarded-For": f"192.0.2.{number}"})
            ).status_code
            for number in range(3)
        ]
        assert codes == [200, 200, 429]


async def test_health_readiness_and_draining(api: Api) -> None:
    assert (await api.client.get("/healthz")).text == "ok\n"
    assert (await api.client.get("/readyz")).text == "ready\n"
    api.services.draining = True
    assert (await api.client.get("/readyz")).status_code == 503
    assert (await api.client.get("/healthz")).status_code == 200


async def test_metrics_are_for_loopback_and_readers(api: Api) -> None:
    api.live.hosts = [live_host("s1", Key(), None)]
    api.services.metrics.stream_opened("port", 0.02)
    api.services.metrics.moved("port", received=7, sent=9)
    text = (await api.client.get("/metrics")).text
    assert "uptui_hosts 1.0" in text
    assert 'uptui_stream_bytes_total{direction="out",way="port"} 9.0' in text
    assert 'uptui_dial_seconds_count{way="port"} 1.0' in text
    proxied = {"X-Forwarded-For": "127.0.0.1"}
    assert (await api.client.get("/metrics", headers=proxied)).status_code == 401
    assert (await api.client.get("/metrics", headers=proxied | api.admin)).status_code == 200


async def test_the_status_page_names_nobody(serve: ServeApi) -> None:
    async with serve(hosting=Hosting("accounts")) as api:
        api.live.hosts = [live_host("secret-session", Key(), "team")]
        page = await api.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "1 host connected" in page.text
        assert "needs an account" in page.text
        assert "secret-session" not in page.text
        assert "team" not in page.text


async def test_the_status_page_tells_how_to_join(serve: ServeApi) -> None:
    async with serve() as api:
        api.services.join_url = "https://192.0.2.1:8443#sha256=<00>"
        page = await api.client.get("/")
        assert "uptui --relay https://192.0.2.1:8443#sha256=&lt;00&gt;" in page.text


async def test_openapi_is_published_with_examples(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    claim = document["paths"]["/v1/aliases/{name}"]["put"]
    assert claim["requestBody"]["content"]["application/json"]["examples"]
    assert "application/problem+json" in json.dumps(claim["responses"]["default"])
