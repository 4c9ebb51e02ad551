"""Settings: one table, three sources, good errors."""

from pathlib import Path

import pytest

from uptui.config import OPTIONS, Address, PortRange, ValueOrigin, load, unknown_variables
from uptui.config import values as v
from uptui.config.load import CAPABILITIES
from uptui.core.roles import Capability
from uptui.errors import ConfigError
from uptui.protocol.durations import written

NOWHERE = Path("/nowhere/config.toml")


def test_every_setting_has_its_own_variable_and_flag() -> None:
    variables = [option.variable for option in OPTIONS.values()]
    assert len(set(variables)) == len(variables)
    for section in ("host", "tui", "relay"):
        flags = [o.flag_name for o in OPTIONS.values() if o.section == section]
        assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("key", OPTIONS)
def test_every_default_is_a_value_that_its_parser_gives_back(key: str) -> None:
    option = OPTIONS[key]
    given = "" if option.default is None else option.default
    if isinstance(given, Address | PortRange):
        given = str(given)
    assert option.parse(given) == option.default
    assert option.help.endswith((".", "none."))


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[host]\nunknown = "deny"\nalias = "from-file"\nkeep_shells = "1h"\n')
    settings = load(
        file, {"UPTUI_ALIAS": "from-env", "UPTUI_UNKNOWN": "accept"}, {"host.unknown": "ask"}
    )
    assert settings.host.unknown == "ask"
    assert settings.origin("host.unknown") == ValueOrigin("flag", "--unknown")
    assert settings.host.alias == "from-env"
    assert settings.origin("host.alias") == ValueOrigin("env", "UPTUI_ALIAS")
    assert settings.host.keep_shells == 3600.0
    assert settings.origin("host.keep_shells") == ValueOrigin("file", str(file))
    assert settings.origin("host.relay").kind == "default"


def test_an_empty_variable_is_no_value() -> None:
    assert load(NOWHERE, {"UPTUI_RELAY": ""}).origin("host.relay").kind == "default"


def test_a_named_file_must_exist() -> None:
    with pytest.raises(ConfigError, match=str(NOWHERE)):
        load(NOWHERE, {}, required=True)


def test_unknown_variables_are_told_with_a_suggestion() -> None:
    assert unknown_variables({"UPTUI_RELY": "x", "UPTUI_RELAY": "x", "PATH": "/"}) == [
        "UPTUI_RELY: there is no such setting; did you mean 'UPTUI_RELAY'?"
    ]


def test_what_kubernetes_says_of_services_is_no_mistake() -> None:
    """For Services `uptui` and `uptui-relay`, as a pod in their namespace finds them."""
    variables = {"UPTUI_PORTS": "a mistake", "UPTUI_SMTP_PORT": "25"}
    for name in ("UPTUI", "UPTUI_RELAY"):
        link = f"{name}_PORT_2222_TCP"
        variables |= {
            f"{name}_SERVICE_HOST": "10.0.0.7",
            f"{name}_SERVICE_PORT": "2222",
            f"{name}_SERVICE_PORT_SSH_GATEWAY": "2222",
            f"{name}_PORT": "tcp://10.0.0.7:2222",
            link: "tcp://10.0.0.7:2222",
            **{f"{link}_{part}": "x" for part in ("PROTO", "PORT", "ADDR")},
        }
    told = [warning.partition(":")[0] for warning in unknown_variables(variables)]
    assert told == ["UPTUI_PORTS", "UPTUI_SMTP_PORT"]
    assert load(NOWHERE, variables).relay == load(NOWHERE, {}).relay


def test_secrets_stay_out_of_rows_and_errors() -> None:
    settings = load(NOWHERE, {"UPTUI_JOIN_TOKEN": "s3cret"})
    row = next(row for row in settings.rows() if row.key == "host.join_token")
    assert (row.value, row.origin) == (None, "env")
    with pytest.raises(ConfigError) as caught:
        load(NOWHERE, {"UPTUI_JOIN_TOKEN": "s3cret\0"})
    assert "s3cret" not in str(caught.value)


def test_own_roles_are_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        "[roles.ops]\ncapabilities = ['view', 'exec']\nforward_allow = ['db:5432']\n"
        "[host]\ndefault_role = 'ops'\n"
    )
    role = load(file, {}).roles["ops"]
    assert role.capabilities == {"view", "exec"}
    assert role.forward_allow == ("db:5432",)


@pytest.mark.parametrize(
    ("key", "value"),
    [("capabilities", "['fly']"), ("files_root", "3"), ("forward_allow", "[1]")],
)
def test_a_wrong_role_names_its_key(tmp_path: Path, key: str, value: str) -> None:
    file = tmp_path / "config.toml"
    values = {"capabilities": "['view']", key: value}
    file.write_text("[roles.ops]\n" + "".join(f"{k} = {v}\n" for k, v in values.items()))
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert f"roles.ops.{key}" in str(caught.value)


def test_capabilities_are_those_of_the_roles() -> None:
    assert set(CAPABILITIES) == {str(capability) for capability in Capability}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1h30m", 5400), ("1h 30m", 5400), ("7d", 604800), ("1.5h", 5400),
     (12, 12), (0.5, 0.5), ("500ms", 0.5), ("2 min", 120), ("0", 0)],
)  # fmt: skip
def test_durations(text: object, seconds: float) -> None:
    assert v.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "-1s", "1h!", True, None, [], "1e9h", "1 2"])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        v.duration(text)


@pytest.mark.parametrize("text", ["off", "never", "", "0", 0, "0s", None])
def test_a_wait_that_may_be_off(text: object) -> None:
    assert v.off_duration(text) is None
    with pytest.raises(ValueError, match="expected a duration"):
        v.wait(text)


@pytest.mark.parametrize(
    ("text", "size"), [("10MB", 10_000_000), ("1GiB", 2**30), (5, 5), ("1.5kb", 1500), ("7", 7)]
)
def test_sizes(text: object, size: int) -> None:
    assert v.size(text) == size


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), (":80", ("0.0.0.0", 80)),
     ("localhost:0", ("localhost", 0)), ("*:1", ("0.0.0.0", 1))],
)  # fmt: skip
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert v.address()(text) == Address(*address)


@pytest.mark.parametrize("text", ["", "x", "::1", "x:70000", "a b:1", "[::1", "[x]:1", "1.2.3.4:"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="expected an address"):
        v.address()(text)


def test_an_address_may_leave_the_port_out_where_there_is_a_default() -> None:
    assert v.address(0)("::") == Address("::", 0)
    assert v.address(0)("0.0.0.0") == Address("0.0.0.0", 0)
    assert v.address(0)("2222") == Address("0.0.0.0", 2222)


@pytest.mark.parametrize(
    ("text", "url"),
    [("relay.example", "https://relay.example"), ("http://[::1]:8080/", "http://[::1]:8080/"),
     ("https://x#sha256=" + "a" * 64, "https://x#sha256=" + "a" * 64)],
)  # fmt: skip
def test_relay_urls(text: str, url: str) -> None:
    assert v.relay_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "ftp://x", "https://", "https://x/y", "https://u@x", "https://x:0", "https://x:99999",
     "http://x#sha256=" + "a" * 64, "https://x#pin", "https://x?y", "https://[x"],
)  # fmt: skip
def test_no_relay_urls(text: str) -> None:
    with pytest.raises(ValueError, match="expected such as"):
        v.relay_url(text)


@pytest.mark.parametrize("text", ["5-2", "0-5", "x", "1-70000", "", "1-2-3"])
def test_no_port_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="expected ports such as"):
        v.port_range(text)


def test_lists_take_commas_lines_and_tables() -> None:
    parse = v.many(v.one_line)
    assert parse("a, b\nc,") == parse(["a", "b", "c"]) == ("a", "b", "c")
    with pytest.raises(ValueError, match="expected a list"):
        parse(3)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("github:alice", True), ("gitlab:bob.x", True), ("github:", False), ("github:a/b", False),
     ("https://x.example/keys", True), ("http://x.example/keys", False), ("/etc/keys", True)],
)  # fmt: skip
def test_key_sources(text: str, fits: bool) -> None:
    if fits:
        assert v.key_source(text) == text
    else:
        with pytest.raises(ValueError):
            v.key_source(text)


def test_moments() -> None:
    assert v.moment("2026-01-31T18:00+01:00") == 1769878800.0
    assert v.moment("00:00") > v.moment("2020-01-01T00:00")
    with pytest.raises(ValueError, match=r"expected a time such as 18:00"):
        v.moment("tomorrow")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (1.5, "1.5s"), (90, "1m30s"), (120, "2m"), (43200, "12h"), (694861, "8d1h1m1s")],
)
def test_spans_are_written_as_they_are_read(seconds: float, text: str) -> None:
    assert written(seconds) == text
    assert v.duration(text) == seconds
