"""Back-off: steady at first, bounded, with jitter, forgetful after a good connection."""

from hypothesis import given
from hypothesis import strategies as st

from uptui.core.backoff import FIRST, LONGEST, PATIENCE, STABLE, STEADY, Backoff


def test_it_probes_steadily_at_first_and_rarely_later() -> None:
    backoff = Backoff()
    waits = [backoff.failed(1.0) for _ in range(300)]
    assert waits[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    young = [wait for count, wait in enumerate(waits) if sum(waits[:count]) < PATIENCE]
    assert max(young) == STEADY
    assert waits[-1] == LONGEST


@given(st.floats(0, 1), st.integers(0, 2000))
def test_it_stays_between_half_and_all_of_a_step(dice: float, failures: int) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff.failed(1.0)
    assert FIRST / 2 <= backoff.failed(dice) <= LONGEST


def test_a_good_connection_is_retried_fast_and_a_short_one_is_not() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(1.0)
    assert backoff.failed(1.0, lasted=STABLE / 2) > FIRST
    assert backoff.failed(1.0, lasted=STABLE) == FIRST
    backoff.failed(1.0)
    backoff.reset()
    assert backoff.failed(1.0) == FIRST
