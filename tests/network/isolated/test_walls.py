"""Host and client get out through a proxy with a password, or through one HTTPS port, only."""

import hashlib
import json
import os
import sys
from collections.abc import Generator

import pytest

from tests.network.isolated.topology import RELAY_ADDRESS
from tests.network.isolated.walls import ENCODED, PROXY_PORT, USER, Site, eventually

HOST_GATE, CLIENT_GATE = "10.77.2.1", "10.77.1.1"


@pytest.fixture
def site() -> Generator[Site]:
    made = Site("wa")
    try:
        yield made
    finally:
        made.close()


def proxied(gate: str, password: str = ENCODED) -> str:
    return f"http://{USER}:{password}@{gate}:{PROXY_PORT}"


def checks(site: Site, **env: str) -> dict[str, tuple[str, str]]:
    done = site.uptui(site.topology.host, "doctor", "--json", **env)
    return {check["name"]: (check["status"], check["detail"]) for check in json.loads(done.stdout)}


def through(site: Site, command: str, proxy: str = "") -> None:
    """ssh works by that ProxyCommand: status, both streams, and bytes unchanged."""
    env = {"HTTPS_PROXY": proxy} if proxy else {}
    done = site.ssh(command, b"", "echo out; echo err >&2; exit 7", **env)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    data = os.urandom(5_000_000)
    done = site.ssh(command, data, "cat", **env)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_through_a_proxy_with_a_password_and_nothing_else(site: Site) -> None:
    topology = site.topology
    site.squid()
    url = site.relay(
        *("--http", f"{RELAY_ADDRESS}:443", "--ssh", "off", "--self-signed"),
        *("--public-host", RELAY_ADDRESS),
    )
    for machine in (topology.host, topology.client):
        machine.ip("route", "del", f"{RELAY_ADDRESS}/32")
        assert machine.run("curl", "-skm", "3", f"https://{RELAY_ADDRESS}/").returncode == 7
    site.ready(site.host("--relay", url, HTTPS_PROXY=proxied(HOST_GATE)))
    relay = site.status()
    assert relay["transport"] == "websocket"
    assert relay["transport_reason"] == "there is a proxy on the way (HTTPS_PROXY)"
    command = f"{sys.executable} -m uptui proxy --relay {url} %h"
    through(site, command, proxied(CLIENT_GATE))
    found = checks(site)
    assert found["Proxy"] == ("ok", f"{HOST_GATE}:{PROXY_PORT} from HTTPS_PROXY")
    assert found["WebSocket"] == ("ok", "come through the proxy")
    assert found["Stream port"][0] == "skipped"
    assert not [name for name, (status, _) in found.items() if status == "failed"]
    told = site.uptui(topology.host, "status", "--json").stdout + json.dumps(found)
    assert ENCODED not in told + site.log("host.log")
    assert "p@ss" not in told + site.log("host.log")
    assert "CONNECT" in site.log("squid/access.log")


def test_a_wrong_password_and_no_proxy_are_said(site: Site) -> None:
    site.squid()
    url = site.relay(
        *("--http", f"{RELAY_ADDRESS}:443", "--ssh", "off", "--self-signed"),
        *("--public-host", RELAY_ADDRESS),
    )
    site.topology.host.ip("route", "del", f"{RELAY_ADDRESS}/32")
    wrong = proxied(HOST_GATE, "wrong")
    site.host("--relay", url, HTTPS_PROXY=wrong)
    lost = eventually(lambda: (found := site.status()) and found["reason"] and found, "it is said")
    assert "407" in lost["reason"]
    done = site.uptui(site.topology.client, "proxy", "--relay", url, "demo-box", HTTPS_PROXY=wrong)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    done = site.uptui(
        *(site.topology.host, "proxy", "--relay", url, "demo-box"),
        HTTPS_PROXY=proxied(HOST_GATE),
        NO_PROXY="10.77.0.0/16",
    )
    assert done.returncode == 1
    assert "unreachable" in done.stderr


def test_through_one_https_port_that_somebody_else_answers(site: Site) -> None:
    certificate = site.nginx()
    site.relay(
        *("--http", "127.0.0.1:8080", "--ssh", "off", "--public-host", RELAY_ADDRESS),
        *("--streams", f"{RELAY_ADDRESS}:443", "--origin", f"https://{RELAY_ADDRESS}"),
    )
    url = f"https://{RELAY_ADDRESS}"
    assert site.topology.host.run("curl", "-sm", "3", f"{url}:8080/").returncode == 7
    ready = site.ready(site.host("--relay", url, "--ca-file", str(certificate)))
    assert ready["name"] == "demo-box"
    relay = site.status()
    assert relay["transport"] == "websocket"
    reason = f"{RELAY_ADDRESS} port 443 takes no raw streams: something else than the relay answers"
    assert reason in relay["transport_reason"]
    command = f"{sys.executable} -m uptui proxy --relay {url} --ca-file {certificate} %h"
    through(site, command)
    found = checks(site)
    assert found["WebSocket"] == ("ok", "come through")
    assert found["Stream port"][0] == "warning"
    assert found["TLS"][0] == "ok"
    done = site.uptui(site.topology.client, "proxy", "--relay", url, "demo-box")
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr
