"""Names that could be taken for somebody else's are warned about; honest ones are not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.access.builders import NOW, arrival, of_kind, share
from uptui.core.events import Record
from uptui.core.lookalikes import Known, by_skeleton, skeleton, warning
from uptui.core.requests import pending_model
from uptui.protocol.host_api import Approve, NewInvite
from uptui.text import clean_name

ALICE = by_skeleton([Known("alice", "another key is known as", "SHA256:a")])


@pytest.mark.parametrize(
    "name",
    [
        "alice",
        "Alice",
        "\u0430lice",  # Cyrillic a
        "\u0430l\u0456\u0441\u0435",  # all Cyrillic but the l
        "a1ice",
        "aIice",
        "al\u0131ce",
        "ɑlice",
        "alicé",
        "ａｌｉｃｅ",
        "al\u200bice",
        "al\u00adice",
        "alice\u1160",
        "\u202ealice",
        "ali\U000e0063ce",
        "a.l-i_c e",
    ],
)
def test_what_looks_like_alice(name: str) -> None:
    assert "another key is known as alice" in warning(name, name, ALICE)


@pytest.mark.parametrize("name", ["bob", "alicia", "malice", "Ольга", "山田", "Zoë", "kim김", "x"])
def test_what_does_not(name: str) -> None:
    assert warning(name, name, ALICE) == ""


def test_scripts_and_invisible_characters_are_told() -> None:
    assert warning("p\u0430ul", "p\u0430ul", {}) == "mixes Latin and Cyrillic letters"
    told = "the name has characters that are not seen (U+2800, U+200B)"
    assert warning("zoe", "zoe\u2800\u200b", {}) == told


def test_nobody_is_their_own_double() -> None:
    assert warning("alice", "alice", ALICE, {"SHA256:a"}) == ""


@given(st.text())
@example("\u13f0\uab70")  # Cherokee folds to capitals
@example("\ufdfa")
def test_a_skeleton_is_its_own_skeleton(name: str) -> None:
    assert skeleton(skeleton(name)) == skeleton(name)


@given(st.text(min_size=1), st.text(), st.text())
def test_the_same_name_warns_always(name: str, said: str, other: str) -> None:
    known = by_skeleton([Known(other, "o", "2"), Known(name, "another key is known as", "1")])
    assert f" {name}" in warning(name, said, known)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\u2800\u3164\u1160", ""),
        ("\u0301\u0300", ""),
        ("a \u0301b", "a b"),
        ("al\u034fi\ufe0fce\U000e0100", "alice"),
        ("Zoe\u0308", "Zoe\u0308"),
    ],
)
def test_a_name_keeps_nothing_that_is_not_seen(text: str, left: str) -> None:
    assert clean_name(text) == left


def test_the_request_says_so_whoever_has_the_name() -> None:
    """Known, here, invited, or waiting as well; and the record says it, too."""
    made = share()

    def asks(seed: int, user: str) -> str:
        made.admission.arrive(arrival(seed, user=user, address=f"198.51.100.{seed}"), NOW)
        return pending_model(made.state.requests.all()[-1]).warning

    assert asks(1, "alice") == ""
    made.commands.approve(made.state.requests.all()[0].id, Approve(), NOW)
    made.drain()
    assert asks(2, "\u0430lice").startswith("looks like alice, another key is known as alice")
    [record] = [one for one in of_kind(made.drain(), Record) if one.event == "client.waiting"]
    assert (record.level, "looks like alice" in record.text) == ("warning", True)
    made.invite(NewInvite(name="zoe"), NOW)
    assert asks(3, "zoe") == "there is an invite for zoe"
    assert asks(4, "bob") == ""
    assert asks(5, "bob") == "another key waits as bob"
    assert made.state.requests.all()[-2].warning == "another key waits as bob"
    assert asks(6, "demo-box") == asks(7, "demo-box") == ""  # two of whom nothing is known
