"""The border: any bytes become a value of the checked types, or the one documented error."""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uptui.core.connect_strings import Target, strings
from uptui.errors import ProtocolError
from uptui.host.relay_link.sockets import ResolvedAddress
from uptui.host.relay_link.streams import stream_addresses
from uptui.net.nearness import Nearness
from uptui.protocol import border, control, relay_api, stream
from uptui.protocol.host_api import PlainWay, PortWay, Ways
from uptui.protocol.names import is_host

WELCOME = {
    "type": "welcome", "version": 1, "software": "s", "ways": {"public_host": "relay.example"},
    "stream_host": "relay.example", "stream_port": 22, "message": "hello",
}  # fmt: skip
DIAL = {
    "type": "dial", "stream_id": "a" * 32, "way": "port", "name": "demo-box",
    "client_host": "192.0.2.1", "client_port": 1, "expires_in": 5.0,
}  # fmt: skip
PUBLISHED = {
    "type": "published", "revision": 1, "granted": [{"name": "demo", "kind": "alias", "port": 5}],
    "refused": [{"name": "x", "code": "taken", "message": "m", "suggestions": ["y"]}],
    "took_over": "192.0.2.1",
}  # fmt: skip
SHOWN = {
    "type": "shown", "n": 1, "name": "demo-box", "user": "demo-box", "key": "ssh-ed25519 AAAA",
    "client_host": "192.0.2.1", "client_port": 1, "client_version": "SSH-2.0-x", "left": True,
}  # fmt: skip
GOODBYE = {"type": "goodbye", "reason": "draining", "message": "m", "retry_after": 1.0}
WITHDRAWN = {"type": "withdrawn", "name": "demo", "reason": "released", "message": "m"}
TEMPLATES = [WELCOME, DIAL, SHOWN, PUBLISHED, WITHDRAWN, GOODBYE]
KINDS: list[type[object]] = [
    relay_api.RelayInfo, relay_api.Challenge, relay_api.Credential, relay_api.AliasPage,
    relay_api.Availability, relay_api.Problem, relay_api.Alias,
]  # fmt: skip

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def texts(value: Any) -> list[str]:
    """Every text within a message."""
    return re.findall(r'"((?:[^"\\]|\\.)*)"', control.encode(value))


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_any_frame_is_a_message_or_the_documented_error(frame: str | bytes) -> None:
    for decode in (control.decode_from_relay, control.decode_from_host):
        with pytest.raises(ProtocolError):
            decode(frame)


@given(st.sampled_from(TEMPLATES), st.data())
def test_any_field_of_a_message_is_of_its_type_or_refused(
    template: dict[str, Any], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(template)))
    frame = json.dumps({**template, field: data.draw(VALUES)}).encode("utf-8", "replace")
    try:
        message = control.decode_from_relay(frame)
    except ProtocolError:
        return
    for text in texts(message):
        assert not CONTROL.search(json.loads(f'"{text}"')), text


@given(
    st.sampled_from(KINDS), st.binary(max_size=200) | VALUES.map(lambda v: json.dumps(v).encode())
)
def test_any_answer_is_a_value_or_the_documented_error(kind: type[object], body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        relay_api.decode(body, kind, "answer")


@given(st.binary(max_size=120))
def test_any_preamble_is_read_awaited_or_refused(data: bytes) -> None:
    for opening in (data, stream.MAGIC + data):
        try:
            found = stream.parse_preamble(opening)
        except ProtocolError:
            continue
        assert found is None or re.fullmatch(r"[A-Za-z0-9_-]{32}", found[0])


@given(st.text(max_size=30))
def test_a_retry_after_header_is_a_bounded_wait_or_nothing(header: str) -> None:
    found = border.retry_after(header)
    assert found is None or border.SHORTEST_WAIT <= found <= border.LONGEST_WAIT


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e9, float("inf"), float("nan"), -float("inf")])
def test_a_wait_that_a_relay_asks_for_is_bounded(seconds: float) -> None:
    assert border.SHORTEST_WAIT <= border.wait(seconds) <= border.LONGEST_WAIT


@pytest.mark.parametrize("decode", [control.decode_from_relay, control.decode_from_host])
@pytest.mark.parametrize(
    "value", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"9" * 9000]
)
def test_an_unknown_field_of_any_depth_is_harmless(
    decode: Callable[[bytes], object], value: bytes
) -> None:
    frame = b'{"type":"pong","n":1,"x":' + value + b"}"
    with contextlib.suppress(ProtocolError):
        decode(frame)


@pytest.mark.parametrize(
    "change",
    [
        {"stream_host": "a" * 70}, {"stream_host": "."}, {"stream_host": "x..y"},
        {"stream_host": "h\0"}, {"stream_host": "fe80::1%x y"}, {"stream_host": ""},
        {"stream_port": 10**30}, {"stream_port": 0}, {"stream_port": -1}, {"stream_port": 99999},
        {"ways": {"public_host": "x\n* ssh-ed25519 KEY"}}, {"ways": {"public_host": "*"}},
        {"ways": {"public_host": "a b"}}, {"ways": {"public_host": "-oProxyCommand=x"}},
        {"ways": {"public_host": "h\x1b]0;owned\x07"}},
        {"ways": {"public_host": "h", "ssh_port": 0}},
    ],
)  # fmt: skip
def test_a_welcome_with_a_wrong_address_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        control.decode_from_relay(json.dumps({**WELCOME, **change}))


@pytest.mark.parametrize("said", ["x\r\nSET pwned", "", "1.2.3.4 5 6", "::1\n", "a" * 9000])
def test_a_client_address_that_is_none_is_unknown(said: str) -> None:
    dial = control.decode_from_relay(json.dumps({**DIAL, "client_host": said}))
    assert isinstance(dial, control.Dial)
    assert dial.client_host == "unknown"


@pytest.mark.parametrize(
    "stream_id", ["x\r\nSET pwned by-relay", "a" * 31, "a" * 32 + "\n", "../x"]
)
def test_a_stream_id_of_another_shape_is_refused(stream_id: str) -> None:
    with pytest.raises(ProtocolError):
        control.decode_from_relay(json.dumps({**DIAL, "stream_id": stream_id}))


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.text(max_size=60).filter(is_host), st.integers(1, 65535))
def test_no_host_name_adds_a_line_or_a_pattern(host: str, port: int) -> None:
    target = Target("demo", "demo", "/", ("ssh-ed25519 AAAA",))
    ways = Ways(
        port=PortWay(host=host, port=port, user="demo"),
        plain=PlainWay(host=host, port=port, user="demo"),
    )
    made = strings(target, ways).strings
    assert len(made["ssh_config"].splitlines()) == 5
    assert len(made["known_hosts"].splitlines()) == 1
    assert not set(made["known_hosts"].split(" ")[0]) & set("*?,!@|# \t")


@pytest.mark.parametrize(
    ("address", "relay", "taken"),
    [
        ("127.0.0.1", "public", False), ("10.0.0.1", "public", False), ("0.0.0.0", "public", False),
        ("169.254.169.254", "public", False), ("::1", "public", False), ("::", "public", False),
        ("::ffff:127.0.0.1", "public", False), ("64:ff9b::7f00:1", "public", False),
        ("fe80::1%eth0", "public", False), ("fd00::1", "public", False),
        ("203.0.113.5", "public", True), ("127.0.0.1", "private", False),
        ("10.0.0.1", "private", True), ("127.0.0.1", "loopback", True),
    ],
)  # fmt: skip
def test_a_relay_sends_us_to_nothing_nearer_than_itself(
    address: str, relay: Nearness, taken: bool
) -> None:
    found = (ResolvedAddress(2, (address, 1)),)
    assert bool(stream_addresses(found, relay)) is taken
