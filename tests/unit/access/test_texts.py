"""Text from strangers, keys as text, policies, and the message to somebody who was invited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.access.builders import NOW, key, of_kind, share
from uptui.core.events import RoutesChanged, StopSharing, Tell
from uptui.core.invitation_text import invitation_text
from uptui.core.keys import (
    KeyFormatError,
    parse_authorized_keys,
    parse_authorized_line,
    parse_public_key,
)
from uptui.core.policies import Policies, Presence, Rules, Stop, Warn
from uptui.core.roles import DEVELOPER, Capability
from uptui.protocol.host_api import InviteView
from uptui.protocol.names import RouteName
from uptui.text import clean


@given(st.text(), st.integers(1, 80))
def test_cleaned_text_is_printable_short_and_stays_as_it_is(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.isprintable()
    assert not set(cleaned) & {"\x1b", "\x9b", "\u202e", "\u2066", "\u200b", "\x7f"}
    assert clean(cleaned, limit) == cleaned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb\x1b[0mc", "abc"),
        ("\x1b]52;c;cm0gLXJm\x07x", "x"),
        ("\x1b]0;never ends", ""),
        ("\x9b2Jx", "x"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("two\r\nlines\tand tab", "two lines and tab"),
        ("héllo wörld 日本", "héllo wörld 日本"),
        ("\ud800x", "x"),
    ],
)
def test_what_is_left_of_a_text(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_cut_text_says_so() -> None:
    assert clean("x" * 100, 10) == "x" * 9 + "…"


def test_authorized_keys_problems_name_file_and_line() -> None:
    text = "\n".join(
        [
            "# comment",
            "",
            f"{key(1)} alice@laptop",
            f'uptui-role="pair",uptui-name="Bob \\"B\\"" {key(2)} ignored',
            "ssh-ed25519 not-base64!",
            f'tunnel="0" {key(3)}',
            "ssh-dss AAAA",
            "garbage",
            f"ssh-rsa {key(4).split()[1]}",
            f"ssh-ed25519-cert-v01@openssh.com {key(4).split()[1]}",
            f'environment="A=b, c",no-user-rc {key(5)} carol',
        ]
    )
    keys, problems = parse_authorized_keys(text, "/home/a/keys", "keys")
    assert [(k.name, k.role) for k in keys] == [
        ("alice@laptop", ""),
        ('Bob "B"', "pair"),
        ("carol", ""),
    ]
    assert [p.split(": ")[0] for p in problems] == [
        f"/home/a/keys:{n}" for n in (5, 6, 7, 8, 9, 10)
    ]
    assert "'tunnel' is not supported" in problems[1]


@pytest.mark.parametrize(
    ("option", "address", "holds"),
    [
        ('from="192.0.2.0/24,!192.0.2.7"', "192.0.2.8", True),
        ('from="192.0.2.0/24,!192.0.2.7"', "192.0.2.7", False),
        ('from="198.51.100.?"', "198.51.100.12", False),
        ('from="2001:db8::/32"', "2001:db8::1", True),
        ('from="192.0.2.*"', "::ffff:192.0.2.1", True),
        ('from="*"', "unknown", False),
        ('expiry-time="20231114221319Z"', "192.0.2.1", False),
        ('expiry-time="202311142214Z"', "192.0.2.1", True),
    ],
)
def test_where_and_when_a_line_holds(option: str, address: str, holds: bool) -> None:
    line = parse_authorized_line(f"{option} {key(1)}", "keys")
    assert line is not None
    assert line.limits.hold(address, NOW) is holds


@pytest.mark.parametrize(
    "option",
    [
        'from="192.0.2.1/24"', 'from=""', 'from="a",from="b"', 'expiry-time="soon"', 'command=""',
        'permitopen="nowhere"', 'permitlisten="1"', "verify-required", 'principals="a"', "x",
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_honoured_keeps_its_key_out(option: str) -> None:
    keys, problems = parse_authorized_keys(f"\n{option} {key(1)}", "f", "f")
    assert not keys
    assert problems[0].startswith("f:2: option ")


def test_options_are_read_in_their_order() -> None:
    line = parse_authorized_line(f"restrict,pty,Port-Forwarding,no-pty {key(1)}", "keys")
    assert line is not None
    limits = line.limits
    assert (limits.pty, limits.forwarding, limits.agent, limits.x11) == (False, True, False, False)
    role = limits.applied(DEVELOPER)
    assert DEVELOPER.capabilities - role.capabilities == {Capability.AGENT}


@given(st.text(max_size=300))
def test_no_line_breaks_the_parser(line: str) -> None:
    parse_authorized_keys(line, "f", "f")
    with pytest.raises(KeyFormatError):
        parse_public_key("ssh-ed25519 " + line.replace("=", ""))


def test_fingerprints_are_those_of_ssh_keygen() -> None:
    text = (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
        " github.com"
    )
    fingerprint = parse_public_key(text).fingerprint
    assert fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def test_an_unused_share_warns_and_stops_once() -> None:
    policies = Policies(Rules(stop_unused=3600), NOW)
    assert policies.check(NOW + 2999, []) is None
    assert isinstance(policies.check(NOW + 3000, []), Warn)
    assert policies.check(NOW + 3001, []) is None
    assert isinstance(policies.check(NOW + 3540, []), Warn)
    assert policies.check(NOW + 3600, []) == Stop("nobody was connected for 1 h")
    assert policies.check(NOW + 3601, []) is None


def test_somebody_connected_keeps_an_unused_share_open() -> None:
    policies = Policies(Rules(stop_unused=60), NOW)
    for second in range(0, 600, 10):
        done = policies.check(NOW + second, [Presence(NOW, busy=False)])
        assert not isinstance(done, Stop)
    assert isinstance(policies.check(NOW + 590 + 60, []), Stop)


@pytest.mark.parametrize(("busy", "stopped"), [(True, False), (False, True)])
def test_an_ide_or_a_transfer_counts_as_someone(busy: bool, stopped: bool) -> None:
    policies = Policies(Rules(stop_idle=60), NOW)
    done = [policies.check(NOW + s, [Presence(NOW, busy=busy)]) for s in range(120)]
    assert any(isinstance(each, Stop) for each in done) is stopped


def test_a_share_ends_at_its_time_and_its_token_rotates() -> None:
    made = share(rules=Rules(stop_at=NOW + 100, rotate_every=50))
    token = made.state.address.token
    made.tick(NOW + 49, [])
    assert made.state.address.token == token
    made.drain()
    made.tick(NOW + 50, [])
    assert made.state.address.token != token
    assert of_kind(made.drain(), RoutesChanged)
    made.tick(NOW + 100, [])
    (stop,) = of_kind(made.drain(), StopSharing)
    assert "time set" in stop.reason
    assert not of_kind(made.drain(), Tell)


def test_the_invitation_tells_all_that_a_newcomer_needs() -> None:
    invite = InviteView(
        route=RouteName("inv-" + "a" * 10),
        name="Bob",
        role="developer",
        landing="shell",
        uses_left=1,
        used=0,
        created_at=NOW,
        expires_at=NOW + 86400,
        bind_first_key=True,
        bound_to=None,
        state="active",
    )
    strings = {
        "ssh": f"ssh -p 22 {invite.route}@relay.example",
        "known_hosts": f"[relay.example]:22 {key(1)}",
    }
    text = invitation_text(invite, strings)
    assert "Hello Bob" in text
    assert "ssh-keygen -t ed25519" in text
    assert f"    ssh -p 22 {invite.route}@relay.example\n" in text
    assert "2023-11-15 22:13 UTC" in text
    assert f"only if it is {parse_public_key(key(1)).fingerprint}" in text
