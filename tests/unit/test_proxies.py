"""Which proxy is on the way: any text in the environment gives one, none, or a clear error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptui.errors import ConfigError
from uptui.net.proxies import is_exempt, proxy_for

TEXTS = st.text(st.sampled_from("ab1²٣:/.[]@*%,# \u200b-_~") | st.characters(), max_size=40)


@given(no_proxy=TEXTS, host=st.sampled_from(["relay.example", "192.0.2.7", "2001:db8::1"]))
def test_no_proxy_of_any_text_is_read(no_proxy: str, host: str) -> None:
    assert is_exempt(host, 443, no_proxy) in {True, False}
    assert is_exempt(host, 443, f"{no_proxy},{host}")


@given(proxy=TEXTS.filter(lambda text: "\0" not in text and text.isprintable()))
def test_a_proxy_of_any_text_is_one_none_or_named(proxy: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            patch.delenv(name, raising=False)
        patch.setenv("HTTPS_PROXY", proxy)
        try:
            found, variable = proxy_for("https", "relay.example", 443)
        except ConfigError as error:
            said = str(error)
        else:
            said = f"HTTPS_PROXY: NO_PROXY {variable}"
            assert (found is None) == (variable == "")
            assert found is None or found.startswith("http://")
        assert said.startswith("HTTPS_PROXY: ")
        assert "NO_PROXY" in said


def test_what_speaks_other_protocols_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.example:8443")
    with pytest.raises(ConfigError, match="speaks 'https' cannot be used, only http://"):
        proxy_for("https", "relay.example", 443)
    found = proxy_for("https", "relay.example", 443, kinds=("http", "https"))
    assert found == ("https://proxy.example:8443", "HTTPS_PROXY")
