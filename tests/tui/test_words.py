"""The short words that screens are made of."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.sample import INVITE, INVITE_USER, NOW, TOKEN, snapshot
from uptui.screens.base import size_class
from uptui.widgets import formatting, glyphs, qr
from uptui.widgets.list_panel import Column, fitting
from uptui.widgets.status import link_state
from uptui.widgets.view import View


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (14_200, "14 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (3.1e6, "3.1 MB"), (9.96e9, "10 GB"), (1e20, "100000 PB")],
)  # fmt: skip
def test_sizes(count: float, text: str) -> None:
    assert formatting.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (59, "59s"), (60, "1m"), (11_520, "3h12m"), (7200, "2h"), (187_200, "2d4h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert formatting.span(seconds) == text


@given(st.text())
def test_plain_text_moves_no_cursor(text: str) -> None:
    cleaned = formatting.plain(text)
    assert cleaned.isprintable() or all(
        character.isprintable() or character.isspace() for character in cleaned
    )
    assert "\x1b" not in cleaned
    assert "\n" not in cleaned


@given(st.text(), st.integers(0, 40))
def test_padding_is_exact(text: str, width: int) -> None:
    assert cell_len(formatting.pad(formatting.plain(text), width)) == width


@given(st.lists(st.floats(0, 1e9), max_size=80), st.integers(0, 80))
def test_sparklines_are_exactly_wide(values: list[float], width: int) -> None:
    assert len(formatting.spark(values, width, glyphs.UNICODE.bars)) == width


@given(st.integers(1, 300))
def test_columns_never_need_more_than_there_is(width: int) -> None:
    columns: list[Column[str]] = [
        Column("a", lambda i, _: i, len, 12, flexible=True),
        Column("b", lambda i, _: i, len, 9, drop=1),
        Column("c", lambda i, _: i, len, 20, drop=2),
    ]
    laid = fitting(columns, width)
    assert laid[0][0].title == "a"
    if width >= 12:
        assert sum(cells for _, cells in laid) + 2 * (len(laid) - 1) <= width


def test_secrets_are_masked() -> None:
    text = f"ssh -p 2222 {TOKEN}@relay.example"
    view = View(now=NOW, snapshot=snapshot())
    assert view.shown(text) == "ssh -p 2222 k7qz••••••@relay.example"
    assert View(now=NOW, revealed=True).shown(text) == text
    hidden = View(now=NOW, private=True)
    assert hidden.shown("from 198.51.100.7 and 2001:db8::1 at 12:30") == (
        "from ••••••• and ••••••• at 12:30"
    )
    assert "k7qz" not in hidden.shown(text)
    user, secret = f"ssh {INVITE_USER}@relay.example", INVITE_USER.removeprefix(INVITE)
    assert view.shown(user) == "ssh inv-p3rs7kdm2v-••••••@relay.example"
    assert hidden.shown(user) == "ssh ••••••@relay.example"
    assert hidden.shown(INVITE) == "••••••"
    assert view.shown(f"ssh {TOKEN}{secret}@relay") == "ssh k7qz••••••-••••••@relay"
    assert view.shown(f"ssh demo-box{secret}@relay") == "ssh demo-box-••••••@relay"


@pytest.mark.parametrize(
    ("status", "retry_at", "text"),
    [
        ("up", None, "● UP"),
        ("retry", NOW + 4, "◐ RETRY 4s"),
        ("down", None, "✖ DOWN"),
        ("superseded", None, "‖ SUPERSEDED"),
        ("starting", None, "◐ STARTING"),
    ],
)
def test_the_link_is_sign_and_word(status: str, retry_at: float | None, text: str) -> None:
    whole = snapshot()
    relay = msgspec.structs.replace(whole.relay, status=status, retry_at=retry_at)
    view = View(now=NOW, snapshot=msgspec.structs.replace(whole, relay=relay))
    assert link_state(view).plain == text


@pytest.mark.parametrize(
    ("size", "kind"),
    [((39, 24), "tiny"), ((80, 11), "tiny"), ((40, 12), "minimal"), ((79, 50), "minimal"),
     ((80, 23), "minimal"), ((80, 24), "stacked"), ((119, 60), "stacked"), ((120, 24), "wide")],
)  # fmt: skip
def test_size_classes(size: tuple[int, int], kind: str) -> None:
    assert size_class(*size) == kind


@pytest.mark.parametrize(
    ("environment", "utf8"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "C.UTF-8", "UPTUI_ASCII": "1"}, False),
    ],
)
def test_the_locale_chooses_the_signs(environment: dict[str, str], utf8: bool) -> None:
    assert glyphs.is_utf8(environment) is utf8


def test_qr_rows_are_equally_wide() -> None:
    for rows in (qr.picture("ssh x"), qr.picture("ssh x", ascii_only=True)):
        assert len({len(row) for row in rows}) == 1


def test_the_first_frame_waits_for_nothing_it_does_not_draw() -> None:
    late = "{'httpx', 'segno', 'websockets', 'asyncssh', 'fastapi', 'uptui.screens.copy_formats'}"
    code = f"import sys, uptui.app, uptui.screens.dashboard; print({late} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
