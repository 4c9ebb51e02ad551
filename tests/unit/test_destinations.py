"""Which destinations roles may reach."""

import contextlib
import ipaddress
import socket
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptui.core.destinations import (
    Destination,
    denied_names,
    may_reach,
    may_reach_path,
    valid_pattern,
)
from uptui.core.hostnames import BadHostError, host_name, is_numeric
from uptui.core.roles import DEVELOPER

SOMEWHERE = "192.0.2.1"


def reach(
    host: str,
    port: int,
    *,
    allow: str = "",
    deny: str = "",
    address: str | None = None,
    denied: tuple[str, ...] = (),
) -> bool:
    role = replace(DEVELOPER, forward_allow=tuple(allow.split()), forward_deny=tuple(deny.split()))
    name = host_name(host)
    if address is None:
        address = name if is_numeric(name) else SOMEWHERE
    return may_reach(role, Destination(name, port, address), denied)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "matches"),
    [
        ("*:*", "anything", 1, True),
        ("localhost:8000-8010", "localhost", 8010, True),
        ("localhost:8000-8010", "localhost", 8011, False),
        ("localhost:80", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "0.0.0.0", 80, True),
        ("127.0.0.1:80", "::ffff:127.0.0.1", 80, True),
        ("[::1]:80", "0:0:0:0:0:0:0:1", 80, True),
        ("::1", "::1", 4, True),
        ("*.internal:443", "DB.Internal.", 443, True),
        ("db", "db", 5432, True),
        ("my_db", "My_DB", 5432, True),
        ("10.*:22", "10.1.2.3", 22, True),
        ("10.*:22", "110.1.2.3", 22, False),
        ("10.0.0.0/8:22", "10.1.2.3", 22, True),
        ("10.0.0.0/8:22", "::ffff:10.1.2.3", 22, True),
        ("10.0.0.0/8:22", "11.1.2.3", 22, False),
        ("[fd00::/8]:*", "fd12::1", 1, True),
        ("fd00:*", "fd00:0::1", 1, False),
        ("[fd00:*]:1", "fd00:0::1", 1, True),
        ("bücher.example:1", "BÜCHER.example", 1, True),
        ("secret.corp:1", "ſecret.corp", 1, True),
        ("secret.corp:1", "ｓｅcret。corp", 1, True),
        ("127.0.0.1:80", "①②⑦.0.0.1", 80, True),
        ("host:x", "host", 1, False),
        ("/run/*", "host", 1, False),
    ],
)
def test_patterns(pattern: str, host: str, port: int, matches: bool) -> None:
    assert reach(host, port, allow=pattern) is matches
    assert reach(host, port, deny=pattern) is not matches


def test_a_name_does_not_hide_a_denied_address() -> None:
    assert not reach("innocent.example", 80, deny="169.254.169.254:*", address="169.254.169.254")
    assert reach("innocent.example", 80, deny="169.254.169.254:*")


def test_a_name_that_looks_like_an_allowed_address_is_none() -> None:
    for pattern in ("10.0.0.*:*", "10.*", "1?.0.0.7*", "10.0.0.0/24"):
        assert not reach("10.0.0.7.nip.example", 80, allow=pattern, address="127.0.0.1")
        assert reach("anything.example", 80, allow=pattern, address="10.0.0.7")


def test_what_is_denied_by_name_is_denied_by_address() -> None:
    deny = "secret.corp:443 *.hidden:* 10.0.0.1 /run/x other:80"
    role = replace(DEVELOPER, forward_deny=tuple(deny.split()))
    assert denied_names(role, 443) == ["secret.corp"]
    assert denied_names(role, 80) == ["other"]
    for notation in ("127.0.0.5", "::ffff:127.0.0.5", "alias.example"):
        assert not reach(notation, 443, deny=deny, address="127.0.0.5", denied=("127.0.0.5",))
    assert reach("127.0.0.6", 443, deny=deny, denied=("127.0.0.5",))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1\0.corp.example", "a b.corp", "a%lo", "127.0.0.1%lo", "a/b", "a\nb", "", "."),
        *("a..b", "a@b", "*.corp", "::1%lo", "fe80::1%a/b", "[::1", "x" * 64, "a." * 200, "-a"),
        *("\ud800", "a:b", "a,b", "a\u2028b", "\x7f"),
    ],
)
def test_what_no_host_is_called(host: str) -> None:
    with pytest.raises(BadHostError):
        host_name(host)


@given(st.text() | st.text("0123456789.x:af%[]"))
def test_any_text_is_a_host_or_the_one_error(text: str) -> None:
    with contextlib.suppress(BadHostError):
        name = host_name(text)
        assert name.isascii()
        assert name.isprintable()
        assert host_name(name) == name
        if is_numeric(name) and ":" not in name:
            with contextlib.suppress(OSError):
                ipaddress.ip_address(socket.inet_ntoa(socket.inet_aton(name)))


@given(st.text())
def test_any_pattern_is_decided(pattern: str) -> None:
    role = replace(DEVELOPER, forward_allow=(pattern,), forward_deny=(pattern,))
    assert not may_reach(role, Destination("a", 1, "192.0.2.1")) or not valid_pattern(pattern)
    denied_names(role, 1)


def test_deny_wins_and_empty_allows_all() -> None:
    assert reach("a", 1)
    assert not reach("a", 1, allow="*:*", deny="a:1")


def test_socket_paths() -> None:
    role = replace(DEVELOPER, forward_allow=("/run/app/*",), forward_deny=("/run/app/admin*",))
    assert may_reach_path(role, "/run/app/web.sock")
    assert not may_reach_path(role, "/run/app/admin.sock")
    assert not may_reach_path(role, "/run/docker.sock")
    assert may_reach_path(DEVELOPER, "/run/docker.sock")


@pytest.mark.parametrize(
    ("pattern", "valid"),
    [
        ("a:1", True),
        ("a:1-2", True),
        ("[::1]:*", True),
        ("10.0.0.0/8:22", True),
        ("10.0.0.*", True),
        ("*.corp:1", True),
        ("/x", True),
        (":1", False),
        ("a:b", False),
        ("a b:1", False),
    ],
)
def test_validity(pattern: str, valid: bool) -> None:
    assert valid_pattern(pattern) is valid
