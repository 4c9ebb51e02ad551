"""Which destinations roles may reach."""

from dataclasses import replace

import pytest

from uptui.core.destinations import may_reach, may_reach_path, valid_pattern
from uptui.core.roles import DEVELOPER


def reach(
    host: str, port: int, *, allow: str = "", deny: str = "", address: str | None = None
) -> bool:
    role = replace(DEVELOPER, forward_allow=tuple(allow.split()), forward_deny=tuple(deny.split()))
    return may_reach(role, host, port, address)


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
        ("10.*:22", "10.1.2.3", 22, True),
        ("10.*:22", "110.1.2.3", 22, False),
        ("host:x", "host", 1, False),
        ("/run/*", "host", 1, False),
    ],
)
def test_patterns(pattern: str, host: str, port: int, matches: bool) -> None:
    assert reach(host, port, allow=pattern) is matches
    assert reach(host, port, deny=pattern) is not matches


def test_a_name_does_not_hide_a_denied_address() -> None:
    assert not reach("innocent.example", 80, deny="169.254.169.254:*", address="169.254.169.254")
    assert reach("innocent.example", 80, deny="169.254.169.254:*", address="192.0.2.1")


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
        ("/x", True),
        (":1", False),
        ("a:b", False),
    ],
)
def test_validity(pattern: str, valid: bool) -> None:
    assert valid_pattern(pattern) is valid
