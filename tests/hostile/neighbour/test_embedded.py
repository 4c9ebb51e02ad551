"""Somebody else on the machine who would use the relay inside our daemon."""

import json

import httpx
import pytest

from tests.network.people.conftest import Crowd, eventually
from tests.network.relay.standin import login, new_key
from uptui.relay.accounts.auth import Hosting
from uptui.relay.server import Relay
from uptui.relay.services import ApiSettings
from uptui.relay.settings import RelaySettings, SocketAddress

HIDDEN = ("/", "/metrics", "/v1/names/demo-box", "/v1/aliases", "/v1/sessions", "/v1/backup")


def front(crowd: Crowd) -> SocketAddress:
    """Where the daemon's own relay speaks HTTP: anybody can find the port."""
    ports = json.loads((crowd.folder / "s" / "default" / "ports.json").read_text())
    return SocketAddress("127.0.0.1", ports["http"])


async def test_only_the_share_itself_hosts_at_its_relay(crowd: Crowd) -> None:
    strings = crowd.share("--alias", "demo-box")["strings"]
    relay = front(crowd)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        await login(relay, new_key())
    assert refused.value.response.json()["code"] == "not_allowed"
    assert "belongs to one share" in refused.value.response.json()["detail"]

    with httpx.Client(base_url=f"http://{relay}", trust_env=False) as http:
        assert http.get("/v1/info").json()["hosting"] == "keys"
        for path in HIDDEN:
            for headers in ({}, {"Authorization": "Bearer upc_guess"}):
                answer = http.get(path, headers=headers)
                assert answer.status_code == 401, path
                assert "demo-box" not in answer.text
        secret = (crowd.folder / "s" / "default" / "relay" / "admin-token").read_text().strip()
        for path in HIDDEN:
            answer = http.get(path, headers={"Authorization": f"Bearer {secret}"})
            assert answer.status_code != 401, (path, answer.text)

    crowd.env["UPTUI_STATE_DIR"] = str(crowd.folder / "other")
    crowd.env["UPTUI_RUNTIME_DIR"] = str(crowd.folder / "o")
    claiming = crowd.run("--relay", f"http://{relay}", "alias", "claim", "nobody-box")
    assert claiming.returncode == 1
    assert "belongs to one share" in claiming.stderr
    crowd.start("host", "--relay", f"http://{relay}", log="neighbour.log")
    log = crowd.folder / "neighbour.log"
    eventually(lambda: "belongs to one share" in log.read_text(), "the host is refused")

    for way in ("ssh-port", "ssh-jump", "ssh-plain"):
        assert crowd.ssh(strings[way], "echo in").stdout == "in\n", way


async def test_what_was_given_when_everybody_could_host_is_worth_nothing(crowd: Crowd) -> None:
    """Credentials and tokens of an earlier version, in the same store."""
    folder = crowd.folder / "relay"

    def settings(hosting: Hosting) -> RelaySettings:
        api = ApiSettings(folder, hosting=hosting)
        return RelaySettings(folder, "127.0.0.1", http=SocketAddress("127.0.0.1", 0), api=api)

    async def statuses(relay: Relay, *bearers: str) -> list[int]:
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"http://{relay.addresses.http}/v1/aliases"
            asked = [
                await http.get(url, headers={"Authorization": f"Bearer {one}"}) for one in bearers
            ]
        return [answer.status_code for answer in asked]

    ours, theirs = new_key(), new_key()
    relay = Relay(settings(Hosting()))
    await relay.start()
    bearers = [await login(relay.addresses.http, key) for key in (ours, theirs)]
    assert await statuses(relay, *bearers) == [200, 200]
    await relay.close(0)
    relay = Relay(settings(Hosting("keys", only=frozenset({ours.get_fingerprint()}))))
    await relay.start()
    assert await statuses(relay, *bearers) == [200, 401]
    await relay.close(0)
