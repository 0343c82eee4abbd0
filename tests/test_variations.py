"""Several results to choose from: what one call for each seed gives, side by side where an engine has the devices."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import eraser
from eraser.engines.base import EngineInfo, Progress
from eraser.errors import Cancelled, OutOfRange
from eraser.fillings import MOST_SEED
from eraser.geometry import Box
from eraser.session import Eraser

PHOTO = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
BOX = Box(20, 15, 9, 8)


class Devices:
    """An engine that paints its seed's number and counts how many of its fillings are under way."""

    info = EngineInfo("pretended", "for tests", "none", takes_prompt=True)

    def __init__(self, lanes: int) -> None:
        self.lanes, self.now, self.most, self.threads = lanes, 0, 0, set()
        self.lock, self.met = threading.Lock(), threading.Barrier(lanes)

    def fill(self, view, *, seed, prompt=None):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
        try:
            for step in range(3):
                yield Progress(step / 3, f"step {step}")
                if step == 0 and self.lanes > 1:
                    self.met.wait(20)  # nobody gets on alone
            filled = view.pixels.copy()
            filled[view.hole] = (seed % 100) / 127.5 - 1
            return filled
        finally:
            with self.lock:
                self.now -= 1


def session_with(lanes: int) -> tuple[Eraser, Devices]:
    session, devices = Eraser(), Devices(lanes)
    session._engine = devices
    return session, devices


@pytest.mark.parametrize("lanes", [1, 2])
def test_there_is_one_result_for_each_seed_in_their_order_and_two_devices_paint_two_at_a_time(lanes):
    session, devices = session_with(lanes)
    steps, reports = [], []
    results = session.variations(PHOTO, BOX, count=4, seed=5, grow=0, on_step=steps.append, on_report=reports.append)
    assert [int(result[18, 22, 0]) for result in results] == [5, 6, 7, 8]
    for result in results:
        assert np.array_equal(np.any(result != PHOTO, axis=2) & ~mask(), np.zeros(PHOTO.shape[:2], bool))
    assert devices.most == lanes
    assert len(devices.threads) == lanes
    assert sorted(report.seed for report in reports) == [5, 6, 7, 8]
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert {step.note.partition(":")[0] for step in steps} == {f"variation {n} of 4" for n in range(1, 5)}


def mask() -> np.ndarray:
    marked = np.zeros(PHOTO.shape[:2], bool)
    marked[BOX.slices] = True
    return marked


def test_they_are_what_single_calls_give(tmp_path):
    path = tmp_path / "photo.png"
    from PIL import Image

    Image.fromarray(PHOTO).save(path)
    several = eraser.variations(str(path), BOX, count=2, seed=3)
    single = [eraser.erase(str(path), BOX, seed=seed) for seed in (3, 4)]
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(several, single, strict=True))
    assert not np.array_equal(several[0].pixels, several[1].pixels)
    wider = eraser.variations(PHOTO, way="outpaint", count=1, left=7)
    assert np.array_equal(wider[0], eraser.outpaint(PHOTO, left=7))
    behind = session_with(1)[0].variations(PHOTO, mask(), way="replace_background", count=2, prompt="a beach")
    assert [one.shape for one in behind] == [PHOTO.shape] * 2


def test_the_seed_after_the_largest_is_the_first():
    results = session_with(1)[0].variations(PHOTO, BOX, count=2, seed=MOST_SEED, grow=0)
    assert [int(result[18, 22, 0]) for result in results] == [MOST_SEED % 100, 0]


@pytest.mark.parametrize("lanes", [1, 2])
def test_cancelling_ends_all_of_them(lanes):
    session, devices = session_with(lanes)
    with pytest.raises(Cancelled):
        session.variations(PHOTO, BOX, on_step=lambda step: step.fraction < 0.1)
    for _ in range(100):
        if not devices.now:
            break
        time.sleep(0.02)
    assert devices.now == 0


@pytest.mark.parametrize(
    "asked", [{"count": 0}, {"count": 65}, {"count": True}, {"way": "_report"}, {"seed": -1}], ids=str
)
def test_what_makes_no_sense_is_refused(asked):
    with pytest.raises(OutOfRange):
        eraser.variations(PHOTO, BOX, **asked)
