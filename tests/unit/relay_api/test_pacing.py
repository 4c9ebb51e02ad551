"""Hosts that come back together: the first ones at once, the others in their turn."""

from uptui.relay.tunnel.pacing import LONGEST_WAIT, LoginPace


def test_five_hundred_come_in_at_once() -> None:
    pace = LoginPace()
    assert [pace.wait(10.0) for _ in range(500)] == [0.0] * 500
    assert pace.wait(10.0) > 0


def test_the_others_are_spread_at_the_rate_and_all_get_in() -> None:
    pace = LoginPace(rate=50, at_once=100)
    came = sorted((0.0, n) for n in range(1000))
    served: list[float] = []
    tries = 0
    while came:
        now, who = came.pop(0)
        tries += 1
        wait = pace.wait(now)
        if wait:
            came.append((now + wait * (1 + who % 50 / 100), who))
            came.sort()
        else:
            served.append(now)
    assert len(served) == 1000
    assert served[-1] < 2.5 * 1000 / 50
    assert tries < 4 * 1000
    for start in range(int(served[-1])):
        assert sum(start < at <= start + 1 for at in served) <= 2 * 50 + 1


def test_no_wait_is_longer_than_the_longest() -> None:
    pace = LoginPace(rate=1, at_once=1)
    assert max(pace.wait(1.0) for _ in range(1000)) == LONGEST_WAIT
