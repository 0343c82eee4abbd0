"""Fillings run side by side where there are lanes for them, and end together."""

from __future__ import annotations

import threading
import time

import pytest

from eraser.engines.base import Progress
from eraser.engines.lanes import Finished, side_by_side


class Work:
    """Makers of generators that count how many of them are under way."""

    def __init__(self, steps: int = 3) -> None:
        self.steps, self.now, self.most, self.closed = steps, 0, 0, 0
        self.lock = threading.Lock()

    def maker(self, number: int, fails: bool = False):
        def make():
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            try:
                for step in range(self.steps):
                    time.sleep(0.01)
                    if fails and step == 1:
                        raise KeyError("inside")
                    yield Progress(step / self.steps, f"{number}")
                return number * 10
            finally:
                with self.lock:
                    self.now -= 1
                    self.closed += 1

        return make


@pytest.mark.parametrize(("lanes", "most"), [(1, 1), (2, 2), (3, 3), (9, 5)])
def test_every_filling_is_told_in_order_and_ended_once(lanes, most):
    work = Work()
    before = threading.active_count()
    seen: dict[int, list[object]] = {}
    for number, told in side_by_side([work.maker(number) for number in range(5)], lanes):
        seen.setdefault(number, []).append(told)
    assert sorted(seen) == [*range(5)]
    for number, told in seen.items():
        assert told[-1] == Finished(number * 10)
        assert [step.fraction for step in told[:-1]] == [0, 1 / 3, 2 / 3]
    assert work.most == most
    assert threading.active_count() == before


@pytest.mark.parametrize("lanes", [1, 2])
def test_stopping_to_iterate_ends_all_of_them_within_a_step(lanes):
    work = Work(steps=1000)
    before = threading.active_count()
    steps = side_by_side([work.maker(number) for number in range(4)], lanes)
    for _ in range(5):
        next(steps)
    steps.close()
    assert work.now == 0
    assert work.closed == lanes
    assert threading.active_count() == before


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_failure_ends_the_others_and_is_raised(lanes):
    work = Work(steps=1000)
    with pytest.raises(KeyError, match="inside"):
        list(side_by_side([work.maker(0, fails=True), work.maker(1)], lanes))
    assert work.now == 0
