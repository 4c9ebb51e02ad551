"""What `uptui relay` makes of its settings: the URL to join by, and what it refuses to ignore."""

from pathlib import Path

import pytest

from uptui.cli.relay import relay_settings
from uptui.config import load
from uptui.errors import ConfigError
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings, SocketAddress, Tls

CERTIFICATE = Path("cert.pem")


@pytest.mark.parametrize(
    ("host", "tls", "websocket_only", "port", "url"),
    [
        ("relay.example", None, False, 8080, "http://relay.example:8080"),
        ("relay.example", None, False, 80, "http://relay.example"),
        ("relay.example", None, True, 8080, "https://relay.example"),
        ("relay.example", Tls(CERTIFICATE, CERTIFICATE), False, 443, "https://relay.example"),
        ("2001:db8::1", Tls(CERTIFICATE, CERTIFICATE, "ab"), False, 8443,
         "https://[2001:db8::1]:8443#sha256=ab"),
    ],
)  # fmt: skip
def test_the_url_that_hosts_join_by(
    host: str, tls: Tls | None, websocket_only: bool, port: int, url: str
) -> None:
    settings = RelaySettings(
        Path("state"), host, http=SocketAddress("", 0), tls=tls, websocket_only=websocket_only
    )
    assert settings.join_url(port) == url


@pytest.mark.parametrize(
    ("flags", "environment", "where", "what"),
    [
        ({"relay.single": ":443", "relay.http": ":80"}, {}, "--http", "--single"),
        ({"relay.single": ":443", "relay.ssh": ":22"}, {}, "--ssh", "--single"),
        ({}, {"UPTUI_RELAY_JOIN_TOKEN": "x" * 20}, "UPTUI_RELAY_JOIN_TOKEN", "join-token"),
        ({"relay.hosting_keys": "/keys"}, {}, "--hosting-keys", "--hosting keys"),
        ({"relay.hosting": "keys"}, {}, "--hosting-keys", "authorized_keys"),
        (
            {"relay.single": "127.0.0.1:0", "relay.hosting": "keys", "relay.hosting_keys": "/no"},
            {}, "--hosting-keys", "/no",
        ),
    ],
)  # fmt: skip
async def test_what_would_be_ignored_or_is_missing_is_refused_by_its_name(
    flags: dict[str, str], environment: dict[str, str], where: str, what: str, tmp_path: Path
) -> None:
    flags = {"relay.state": str(tmp_path / "state"), **flags}
    with pytest.raises(ConfigError) as caught:
        await Relay(relay_settings(load(tmp_path / "none", environment, flags))).start()
    assert caught.value.where == where
    assert what in caught.value.problem


def test_one_address_alone_is_fine(tmp_path: Path) -> None:
    flags = {"relay.state": str(tmp_path), "relay.single": "127.0.0.1:0", "relay.ssh": "off"}
    assert relay_settings(load(tmp_path / "none", {}, flags)).http is None
