"""One line of JSON for each event, without secrets, tracebacks included."""

import json

import pytest

from uptui.protocol.names import new_invite, new_secret, new_token, with_secret
from uptui.relay import logs


def _fail(text: str) -> None:
    raise RuntimeError(text)


def test_of_a_secret_nothing_is_in_a_line() -> None:
    invite, secret = new_invite(), new_secret()
    assert logs.mask_secrets(f"for {with_secret(invite, secret)}.") == f"for {invite}-…."


def test_a_traceback_is_in_the_line_and_masked(caplog: pytest.LogCaptureFixture) -> None:
    secret = new_token()
    try:
        _fail(f"no stream for {secret}")
    except RuntimeError:
        logs.logger().exception("failed", name=secret)
    (record,) = caplog.records
    assert record.exc_info is None
    assert secret not in record.getMessage()
    line = json.loads(record.getMessage())
    assert line["event"] == "failed"
    assert line["level"] == "error"
    assert line["exception"].endswith(f"RuntimeError: no stream for {secret[:8]}…")
