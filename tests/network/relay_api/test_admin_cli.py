"""The operator's commands against a really served relay."""

import asyncio
import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.network.relay_api.conftest import Api, Key
from tests.network.relay_api.test_publishing import live_host
from uptui.cli.relay_admin import relay_admin
from uptui.errors import ConfigError, RelayRefusedError, RelayUnreachableError
from uptui.relay.accounts.admin_token import read_admin_token
from uptui.relay.ingress.self_signed import self_made
from uptui.relay.server import Relay
from uptui.relay.settings import RelaySettings, SocketAddress, Tls


async def run(api: Api, *arguments: str) -> str:
    """Standard output of a command; its exception is raised."""
    environment = {
        "UPTUI_RELAY_API": api.url,
        "UPTUI_RELAY_TOKEN": api.admin["Authorization"].removeprefix("Bearer "),
    }
    result = await asyncio.to_thread(
        CliRunner().invoke, relay_admin, list(arguments), env=environment
    )
    if result.exception is not None:
        raise result.exception
    return result.stdout


async def test_accounts_and_tokens(api: Api) -> None:
    await run(api, "account", "set", "team-a", "--max-aliases", "3")
    assert "team-a" in await run(api, "account", "list")
    secret = (await run(api, "token", "issue", "ci-runners", "--account", "team-a")).strip()
    assert secret.startswith("upt_")
    assert (await api.login(Key(), secret)).status_code == 200
    [listed] = [t for t in json.loads(await run(api, "token", "list", "--json"))
                if t["id"] == "ci-runners"]  # fmt: skip
    assert listed["scopes"] == ["aliases", "host"]
    await run(api, "token", "revoke", "ci-runners")
    await run(api, "account", "remove", "team-a", "--yes")
    assert json.loads(await run(api, "account", "list", "--json")) == []


async def test_aliases_sessions_and_blocks(api: Api) -> None:
    key, other = Key(), Key()
    bearer = await api.bearer(key)
    await api.client.put("/v1/aliases/demo-box", json={}, headers=bearer)
    assert "demo-box" in await run(api, "alias", "list")
    await run(api, "alias", "transfer", "demo-box", other.text)
    assert other.fingerprint in await run(api, "alias", "list")
    await run(api, "alias", "release", "demo-box")
    with pytest.raises(RelayRefusedError, match="no alias"):
        await run(api, "alias", "release", "demo-box")
    api.live.hosts = [live_host("s1", key, None)]
    assert "s1" in await run(api, "session", "list")
    await run(api, "session", "end", "s1", "--message", "maintenance")
    assert api.live.disconnected == [("s1", "maintenance")]
    await run(api, "block", key.fingerprint)
    assert (await api.login(key)).status_code == 403
    await run(api, "block", key.fingerprint, "--undo")
    assert (await api.login(key)).status_code == 200


async def test_backup_and_restore(api: Api, tmp_path: Path) -> None:
    bearer = await api.bearer(Key())
    await api.client.put("/v1/aliases/demo-box", json={}, headers=bearer)
    file = tmp_path / "backup.jsonl"
    await run(api, "backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await api.client.delete("/v1/aliases/demo-box", headers=bearer)
    assert "1 aliases" in await run(api, "restore", str(file), "--yes")
    assert (await api.client.get("/v1/aliases/demo-box", headers=bearer)).status_code == 200


async def test_a_damaged_database_is_replaced_by_a_backup(api: Api, tmp_path: Path) -> None:
    bearer = await api.bearer(Key())
    await api.client.put("/v1/aliases/demo-box", json={}, headers=bearer)
    file = tmp_path / "backup.jsonl"
    await run(api, "backup", str(file))
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"rubbish" * 1000)
    out = await run(api, "restore", str(file), "--database", str(broken), "--yes")
    assert "1 aliases" in out
    assert (tmp_path / "broken.db.damaged").read_bytes() == b"rubbish" * 1000


async def test_failures_say_what_to_do(api: Api, tmp_path: Path) -> None:
    def invoke(*arguments: str) -> BaseException | None:
        empty = {"UPTUI_RELAY_TOKEN": "", "UPTUI_RELAY_STATE": str(tmp_path)}
        return CliRunner().invoke(relay_admin, list(arguments), env=empty).exception

    token = ["--token", "upt_wrong"]
    listing = ["session", "list"]
    missing = await asyncio.to_thread(invoke, *listing, "--api", api.url)
    assert isinstance(missing, ConfigError)
    assert "admin-token" in str(missing)
    wrong = await asyncio.to_thread(invoke, *listing, "--api", api.url, *token)
    assert isinstance(wrong, RelayRefusedError)
    assert "unknown, expired or revoked" in str(wrong)
    away = await asyncio.to_thread(invoke, *listing, "--api", "http://127.0.0.1:1", *token)
    assert isinstance(away, RelayUnreachableError)
    for address in (f"{api.url}/healthz?", "ftp://relay.example", "http://127.0.0.1:x"):
        page = await asyncio.to_thread(invoke, *listing, "--api", address, *token)
        assert isinstance(page, ConfigError)
        assert page.where == "--api"


async def test_a_pin_is_enough_to_administer_from_elsewhere(tmp_path: Path) -> None:
    state = tmp_path / "relay"
    made = self_made(state, "relay.example")
    tls = Tls(made.certificate, made.key, made.sha256)
    relay = Relay(
        RelaySettings(state, "relay.example", http=SocketAddress("127.0.0.1", 0), tls=tls)
    )
    at = f"https://{(await relay.start()).http}"
    token = read_admin_token(state) or ""

    def invoke(pin: str) -> Result:
        arguments = ["token", "list", "--api", f"{at}{pin}", "--token", token]
        return CliRunner().invoke(relay_admin, [*arguments, "--state-dir", str(tmp_path)])

    good = await asyncio.to_thread(invoke, f"#sha256={made.sha256}")
    assert good.exit_code == 0, good.output
    assert "admin-token file" in good.output
    wrong = await asyncio.to_thread(invoke, f"#sha256={'0' * 64}")
    assert "its certificate is not the pinned one" in str(wrong.exception)
    bare = await asyncio.to_thread(invoke, "")
    assert "CERTIFICATE_VERIFY_FAILED" in str(bare.exception)
    await relay.close(0)


async def test_the_state_directory_is_enough(api: Api) -> None:
    place = str(api.services.settings.state_dir)
    arguments = ["session", "list", "--api", api.url, "--state-dir", place]
    result = await asyncio.to_thread(CliRunner().invoke, relay_admin, arguments)
    assert result.exit_code == 0, result.output
