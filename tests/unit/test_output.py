"""Tables and spans as the commands print them."""

import time

import pytest

from uptui.cli.output import table, when


def test_columns_line_up_under_wide_and_narrow_names(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "ROLE"), [("日本", "viewer"), ("ada", "pair"), ("🚀", "own")])
    assert capsys.readouterr().out == (
        "NAME  ROLE\n"
        "日本  viewer\n"
        "ada   pair\n"
        "🚀    own\n"
    )  # fmt: skip


def test_a_moment_says_whether_it_is_past() -> None:
    now = time.time()
    assert when(now + 3600.5) == "in 1h"
    assert when(now - 7200) == "2h ago"
    assert when(None) == "never"
