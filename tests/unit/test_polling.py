"""When the loop polls instead of sleeping, and that it then hears no less."""

import asyncio
import os
import selectors
import socket
import threading
from asyncio import new_event_loop
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from uptui.runtime.busy_poll import FIRST, HEAVY, LONGEST, LONGEST_IN_BULK, Pace
from uptui.runtime.cpu_quota import processors
from uptui.runtime.event_loop import PROCESSORS, run
from uptui.runtime.selector import PollingSelector

SHORT, LONG = LONGEST / 2, LONGEST * 5


def exchange(pace: Pace, *waits: float, size: int = 100, answers: bool = False) -> None:
    """Messages, each followed by a wait of so many seconds."""
    for wait in waits:
        (pace.answered if answers else pace.asked)(size)
        if pace.budget() is not None:
            pace.waited(wait)


def after(pace: Pace, size: int = 100, *, answer: bool = False) -> float | None:
    """What is polled after one message more."""
    (pace.answered if answer else pace.asked)(size)
    return pace.budget()


def test_it_sleeps_until_answers_have_come_fast() -> None:
    pace = Pace()
    assert after(pace) == 0.0
    pace.waited(SHORT)
    assert after(pace) == LONGEST * FIRST


def test_fast_answers_let_it_grow_and_slow_ones_end_it() -> None:
    pace = Pace()
    exchange(pace, *[SHORT] * 10)
    assert after(pace) == LONGEST
    pace.waited(LONG)
    assert after(pace) == LONGEST / 2
    exchange(pace, *[LONG] * 3)
    assert after(pace) == 0.0


def test_over_a_network_nothing_is_polled() -> None:
    pace = Pace()
    exchange(pace, *[0.001] * 1000)
    assert after(pace) == 0.0


def test_a_key_is_not_waited_for_as_its_echo_is() -> None:
    pace = Pace()
    for _ in range(20):
        exchange(pace, SHORT)
        exchange(pace, 0.1, answers=True)
    assert after(pace) == LONGEST
    assert after(pace, answer=True) == 0.0


def test_a_wait_before_which_nothing_passed_says_nothing() -> None:
    pace = Pace()
    exchange(pace, *[SHORT] * 10)
    assert pace.budget() is None
    assert after(pace) == LONGEST


def bulk(pace: Pace, *waits: float) -> None:
    for wait in waits:
        exchange(pace, wait, size=8 * HEAVY, answers=True)
        exchange(pace, wait)  # the client opens its window again


def test_in_bulk_nothing_is_polled() -> None:
    pace = Pace()
    bulk(pace, *[LONGEST_IN_BULK / 2] * 10)
    assert after(pace) == 0.0


def test_a_relay_polls_the_shortest_waits_in_bulk() -> None:
    pace = Pace()
    pace.poll_in_bulk()
    bulk(pace, *[LONGEST_IN_BULK / 2] * 10)
    assert after(pace) == LONGEST_IN_BULK
    bulk(pace, *[SHORT] * 3)
    assert after(pace) == 0.0


def test_bulk_changes_nothing_for_what_comes_after_it() -> None:
    pace = Pace()
    pace.poll_in_bulk()
    exchange(pace, *[SHORT] * 10)
    bulk(pace, *[LONG] * 100)
    exchange(pace, *[LONGEST_IN_BULK] * 5)
    assert after(pace) == LONGEST


def test_files_of_some_kilobytes_are_no_bulk() -> None:
    pace = Pace()
    for _ in range(20):
        exchange(pace, SHORT)
        exchange(pace, SHORT, size=HEAVY // 2, answers=True)
    assert after(pace, HEAVY // 2, answer=True) == LONGEST


class Ticks:
    """A clock that moves a tenth of LONGEST at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.looks * LONGEST / 10


class Reader(asyncio.Handle):
    """What a loop would register for a socket; remembers that it ran, and may do more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(self.read, [], loop)
        self.loop = loop
        self.ran = 0
        self.then: Callable[[], object] | None = None

    def read(self) -> None:
        self.ran += 1
        if self.then is not None:
            self.then()


@contextmanager
def selecting(pace: Pace, clock: Ticks) -> Generator[tuple[PollingSelector, socket.socket, Reader]]:
    near, far = socket.socketpair()
    with near, far, PollingSelector(pace, clock) as selector, closing(new_event_loop()) as loop:
        reader = Reader(loop)
        selector.register(near, selectors.EVENT_READ, (reader, None))
        yield selector, far, reader


def eager() -> Pace:
    pace = Pace()
    exchange(pace, *[SHORT] * 10)
    pace.asked(100)
    return pace


def test_the_selector_polls_for_its_budget_and_then_blocks() -> None:
    clock = Ticks()
    with selecting(eager(), clock) as (selector, _, _):
        assert selector.select(0.01) == []
    assert clock.looks == 12  # at the start, ten times within the budget, at the end


def test_what_comes_is_found_without_blocking_and_served(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Ticks()
    with selecting(eager(), clock) as (selector, far, reader):
        yields = iter(range(3))

        def others_run() -> None:
            if next(yields) == 1:
                far.send(b"x")

        monkeypatch.setattr(os, "sched_yield", others_run)
        assert selector.select(None) == []
        assert reader.ran == 1


@pytest.mark.parametrize("timeout", [None, 10.0])
def test_what_wakes_it_up_is_served_too(timeout: float | None) -> None:
    with selecting(Pace(), Ticks()) as (selector, far, reader):
        timer = threading.Timer(0.05, far.send, [b"x"])
        timer.start()
        assert selector.select(timeout) == []
        timer.join()
        assert reader.ran == 1


def test_what_comes_while_work_waits_is_left_to_the_loop() -> None:
    with selecting(eager(), Ticks()) as (selector, far, reader):
        far.send(b"x")
        assert [key.data[0] for key, _ in selector.select(0)] == [reader]
        assert not reader.ran


def test_the_loop_gets_everything_when_there_is_more_than_reading_to_do() -> None:
    with selecting(eager(), Ticks()) as (selector, far, reader):
        far.send(b"x")
        selector.register(far, selectors.EVENT_WRITE, (None, reader))
        assert len(selector.select(None)) == 2
        assert not reader.ran


def test_a_reader_that_another_has_cancelled_does_not_run() -> None:
    second, its_far = socket.socketpair()
    with selecting(eager(), Ticks()) as (selector, far, reader), second, its_far:
        other = Reader(reader.loop)
        reader.then, other.then = other.cancel, reader.cancel
        selector.register(second, selectors.EVENT_READ, (other, None))
        far.send(b"x")
        its_far.send(b"x")
        assert selector.select(None) == []
        assert reader.ran + other.ran == 1


def test_what_a_reader_raises_goes_to_the_loop_and_others_run() -> None:
    second, its_far = socket.socketpair()
    with selecting(eager(), Ticks()) as (selector, far, reader), second, its_far:
        other = Reader(reader.loop)
        reader.then = other.then = lambda: 1 / 0
        told: list[dict[str, Any]] = []
        reader.loop.set_exception_handler(lambda _, context: told.append(context))
        selector.register(second, selectors.EVENT_READ, (other, None))
        far.send(b"x")
        its_far.send(b"x")
        assert selector.select(None) == []
        assert {context["handle"] for context in told} == {reader, other}
        assert {type(context["exception"]) for context in told} == {ZeroDivisionError}


def test_what_is_no_longer_registered_is_not_served() -> None:
    with selecting(eager(), Ticks()) as (selector, far, reader):
        selector.register(far, selectors.EVENT_READ, (reader, None))
        selector.modify(far, selectors.EVENT_WRITE, (None, reader))
        selector.unregister(far)
        assert selector.select(0.001) == []
        assert not reader.ran


def test_a_timeout_shorter_than_the_budget_holds() -> None:
    clock = Ticks()
    with selecting(eager(), clock) as (selector, _, _):
        assert selector.select(LONGEST / 5) == []
    assert clock.looks == 4


def test_a_select_that_must_not_wait_does_not_poll() -> None:
    clock = Ticks()
    with selecting(eager(), clock) as (selector, _, _):
        assert selector.select(0) == []
    assert clock.looks == 0


def test_a_loop_registers_what_the_selector_serves() -> None:
    """A canary: asyncio's transports keep working, timers and calls from readers included."""
    pace = eager()

    async def converse() -> list[bytes]:
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        echo_reader, echo_writer = await asyncio.open_connection(sock=far)

        async def echo() -> None:
            while data := await echo_reader.read(100):
                pace.asked(1)
                echo_writer.write(data)

        task = asyncio.create_task(echo())
        answers: list[bytes] = []
        for number in range(50):
            pace.asked(1)
            writer.write(b"%d" % number)
            answers.append(await asyncio.wait_for(reader.read(100), 10))
        await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(task, 10)
        echo_writer.close()
        return answers

    selector = PollingSelector(pace)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        assert runner.run(converse()) == [b"%d" % number for number in range(50)]


def polls(*, poll: bool) -> bool:
    """Whether the loop that `run` makes does."""

    async def look() -> bool:
        return isinstance(vars(asyncio.get_running_loop())["_selector"], PollingSelector)

    return run(look(), poll=poll)


@pytest.fixture
def one_processor() -> Iterator[None]:
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    yield
    os.sched_setaffinity(0, mine)


@pytest.mark.usefixtures("one_processor")
def test_one_processor_is_left_to_others() -> None:
    assert not polls(poll=True)


def test_polling_can_be_turned_off() -> None:
    assert not polls(poll=False)


def test_with_processors_the_loop_polls() -> None:
    assert polls(poll=True) == (processors() >= PROCESSORS)
