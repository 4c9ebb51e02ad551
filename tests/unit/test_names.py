"""Names: whatever text comes, each has one reading, and no secret is ever shown."""

import string

from hypothesis import example, given
from hypothesis import strategies as st

from uptui.protocol.names import (
    MAX_ALIAS_LENGTH,
    SECRET_LENGTH,
    RouteName,
    alias_problem,
    is_invite,
    is_token,
    kind_of,
    masked,
    new_invite,
    new_secret,
    new_token,
    split_secret,
    with_secret,
)

BASE32 = string.ascii_lowercase + "234567"
SECRETS = st.text(BASE32, min_size=SECRET_LENGTH, max_size=SECRET_LENGTH)
NAMES = st.one_of(
    SECRETS,
    st.text(BASE32, min_size=10, max_size=10).map("inv-{}".format),
    st.text("abc29-", min_size=3, max_size=MAX_ALIAS_LENGTH).filter(
        lambda text: alias_problem(text) is None
    ),
)


@given(st.one_of(st.text(), st.text(BASE32 + "-inv", max_size=70)))
@example("inv-" + "a" * 26)
@example("-" + "a" * 26)
@example("a\n-" + "a" * 26)
def test_any_text_is_one_name_or_a_name_and_its_secret(text: str) -> None:
    name, secret = split_secret(text)
    assert (with_secret(name, secret) if secret else name) == text
    if secret:
        assert kind_of(name) is not None
        assert kind_of(text) is None, "what carries a secret is never a route"
    shapes = (is_token(text), is_invite(text), alias_problem(text) is None)
    assert sum(shapes) == (kind_of(text) is not None)


@given(NAMES, SECRETS)
def test_both_halves_come_back_and_only_one_is_shown(name: str, secret: str) -> None:
    said = with_secret(RouteName(name), secret)
    assert split_secret(said) == (name, secret)
    shown = masked(said)
    assert secret not in shown
    assert shown.endswith("-…")
    assert masked(f"{said} and more {said}").count("…") >= 2
    if not is_token(name):
        assert shown == f"{name}-…"


def test_what_is_made_fits_everywhere() -> None:
    assert is_invite(new_invite())
    assert len(with_secret(new_invite(), new_secret())) == 41
    assert len(with_secret(new_token(), new_secret())) == 53
    assert masked(new_token())[8:] == "…"
    assert alias_problem(f"box-{new_secret()}") is not None
