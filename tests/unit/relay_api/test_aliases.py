"""The rules of names: who gets one, which key serves it, what is suggested instead."""

from hypothesis import given
from hypothesis import strategies as st

from uptui.protocol.names import alias_problem
from uptui.relay.accounts import alias_rules
from uptui.relay.accounts.alias_rules import (
    AliasRecord,
    Claimant,
    candidates,
    claim_refusal,
    host_key_refusal,
)

TTL = 100.0
RECORD = AliasRecord("demo-box", "SHA256:me", "ssh-ed25519 AAAA", 0.0, 50.0, 20017)
ME = Claimant("SHA256:me", 1, 2)
OTHER = Claimant("SHA256:other", 0, 2)


def test_a_free_name_goes_to_anybody_with_quota_left() -> None:
    assert claim_refusal("demo-box", None, OTHER, 0.0, TTL) is None
    full = Claimant("SHA256:full", 2, 2)
    refused = claim_refusal("demo-box", None, full, 0.0, TTL)
    assert refused is not None
    assert refused.code == "quota"


def test_the_owner_always_gets_it_back_even_with_a_full_quota_and_after_expiry() -> None:
    full = Claimant("SHA256:me", 5, 2)
    assert claim_refusal("demo-box", RECORD, full, 10_000.0, TTL) is None


def test_others_wait_until_it_expires() -> None:
    refused = claim_refusal("demo-box", RECORD, OTHER, 149.9, TTL)
    assert refused is not None
    assert refused.code == "taken"
    assert claim_refusal("demo-box", RECORD, OTHER, 150.0, TTL) is None


def test_a_pinned_key_must_be_among_those_offered_or_rotated() -> None:
    other = "ssh-ed25519 BBBB"
    assert host_key_refusal(RECORD, [other], rotate=False) is not None
    assert host_key_refusal(RECORD, [other, "ssh-ed25519 AAAA"], rotate=False) is None
    assert host_key_refusal(RECORD, [other], rotate=True) is None
    assert host_key_refusal(RECORD, [], rotate=False) is None


def test_ed25519_is_pinned_first() -> None:
    assert alias_rules.key_to_pin(["ssh-rsa A", "ssh-ed25519 B"]) == "ssh-ed25519 B"
    assert alias_rules.key_to_pin(["ssh-rsa A"]) == "ssh-rsa A"
    assert alias_rules.key_to_pin([]) is None


def test_known_hosts_lines_match_how_clients_look_them_up() -> None:
    lines = alias_rules.known_hosts("demo-box", "ssh-ed25519 K", 20017, "r.example", ["key R"], 22)
    assert lines == [
        "[r.example]:20017 ssh-ed25519 K",
        "demo-box ssh-ed25519 K",
        "r.example key R",
    ]


@given(st.text(max_size=60))
def test_suggestions_are_always_valid_other_names(wish: str) -> None:
    names = list(candidates(wish))
    assert names
    assert wish not in names
    assert all(alias_problem(name) is None for name in names)
    assert len(set(names)) == len(names)


def test_suggestions_stay_close_to_the_wish() -> None:
    assert next(candidates("My Box!")) == "my-box"
    assert list(candidates("demo"))[:3] == ["demo-2", "demo-dev", "demo-box"]
