"""What a host signs: one spelling of each address, no two messages alike, no text that crashes."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from uptui.errors import ProtocolError
from uptui.protocol.login import DIGEST_LENGTH, Origin, Scheme, Statement, canonical_host, statement

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,8}){0,2}", fullmatch=True)
HOSTS = st.one_of(
    NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda one: f"[{one}]")
)
PORTS = st.integers(1, 65535)
SCHEMES: st.SearchStrategy[Scheme] = st.sampled_from(["http", "https"])
TEXTS = st.text(st.sampled_from("htps:/.[]%@#?1٣ﬀßа\u200d -_a") | st.characters(), max_size=40)


@given(scheme=SCHEMES, host=HOSTS, port=PORTS)
def test_an_origin_reads_back_as_itself(scheme: str, host: str, port: int) -> None:
    origin = Origin.parse(f"{scheme}://{host}:{port}")
    assert Origin.parse(str(origin)) == origin
    assert Origin.parse(str(origin).upper() + "/") == origin
    default = {"http": 80, "https": 443}[scheme]
    assert (Origin.parse(f"{scheme}://{host}") == origin) == (port == default)


@given(text=TEXTS | TEXTS.map(lambda text: f"https://{text}"))
@example("https://[::1%eth0]:443")
@example("https://a.example:0")
@example("https://a.example:99999")
@example("https://user@a.example")
@example("https://a.example/path")
def test_any_text_is_an_origin_in_one_spelling_or_refused(text: str) -> None:
    try:
        origin = Origin.parse(text)
    except ProtocolError as error:
        assert str(error).startswith("origin: ")  # noqa: PT017 - most texts are refused
        return
    assert str(origin).isascii()
    assert Origin.parse(str(origin)) == origin


@given(text=TEXTS)
@example("ａ.example")
@example("::ffff:192.0.2.1")
def test_the_one_spelling_of_a_host_is_its_own(text: str) -> None:
    try:
        host = canonical_host(text)
    except ProtocolError:
        return
    assert canonical_host(host) == host


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RELAY.example.", "relay.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0::1%eth0]", "2001:db8::1"),
    ],
)
def test_spellings_of_one_host(one: str, other: str) -> None:
    assert canonical_host(one) == other


def said(nonce: str, scheme: Scheme, host: str, port: int, digest: bytes) -> Statement:
    """What a host signs there."""
    return Statement(nonce, Origin.of(scheme, host, port), digest if scheme == "https" else b"")


STATEMENTS = st.builds(
    said,
    st.text(max_size=8),
    SCHEMES,
    HOSTS,
    PORTS,
    st.binary(min_size=DIGEST_LENGTH, max_size=DIGEST_LENGTH),
)


@given(one=STATEMENTS, other=STATEMENTS)
def test_no_two_statements_are_signed_alike(one: Statement, other: Statement) -> None:
    assume(one != other)
    assert one.signed() != other.signed()
    assert statement(one.nonce, str(one.origin), one.certificate.hex()) == one


@given(digest=st.text(max_size=70))
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    assume(not (len(digest) == 64 and set(digest) <= set("0123456789abcdef")))
    with pytest.raises(ProtocolError, match=r"^login: "):
        statement("n", "https://relay.example", digest)
