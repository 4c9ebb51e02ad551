"""What is left out of collections is still found when there is too much of it."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from uptui.runtime.gc_tuning import STEPS_PER_COUNT, Collector


class Ring:
    """Refers to itself, so only a collection finds it."""

    def __init__(self) -> None:
        self.other = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def left_out_garbage(collector: Collector) -> "weakref.ref[Ring]":
    ring = Ring()
    gone = weakref.ref(ring)
    collector.step()
    del ring
    gc.collect()
    assert gone() is not None
    return gone


def test_young_garbage_is_found_at_the_next_step() -> None:
    collector = Collector()
    collector.settle()
    ring = Ring()
    gone = weakref.ref(ring)
    del ring
    collector.step()
    assert gone() is None


def test_what_was_left_out_is_found_once_it_has_doubled() -> None:
    collector = Collector(allowance=0)
    collector.settle()
    gone = left_out_garbage(collector)
    kept = [[number] for number in range(2 * gc.get_freeze_count())]
    for _ in range(STEPS_PER_COUNT):
        collector.step()
    assert kept
    assert gone() is None


def test_little_is_left_alone() -> None:
    collector = Collector()
    collector.settle()
    gone = left_out_garbage(collector)
    for _ in range(2 * STEPS_PER_COUNT):
        collector.step()
    assert gone() is not None
