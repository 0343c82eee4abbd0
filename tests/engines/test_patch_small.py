"""A small scale in one compiled call is the sampling loop over the patch denoiser, step for step."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from eraser.canvas import View
from eraser.engines import patch, registry
from eraser.engines.patch_denoiser import ColourNoise, PatchDenoiser, Recipe, walk
from eraser.engines.patch_fields import random_field, smooth_start
from eraser.engines.patch_levels import Level
from eraser.engines.patch_small import MOST_TARGETS, median, paint_small
from eraser.schedule import geometric
from tests.engines.finest import WORKERS, levels_of


class Replay:
    """A generator of random numbers whose numbers are those that `paint_small` drew, in the loop's order."""

    def __init__(self, noise: np.ndarray, seeds: np.ndarray) -> None:
        self._noise, self._seeds = iter(noise), iter(seeds)

    def standard_normal(self, shape: tuple[int, ...], _: type) -> np.ndarray:
        noise: np.ndarray = next(self._noise)
        assert noise.shape == shape
        return noise

    def integers(self, _low: int, _high: int) -> int:
        return int(next(self._seeds))


def a_level(colours: int, *, foreign: bool) -> Level:
    y, x = np.mgrid[:60, :70]
    rng = np.random.default_rng(3)
    pixels = np.sin(x / 3 + y / 5)[:, :, None] * 0.5 + rng.normal(0, 0.1, (60, 70, colours))
    hole = np.hypot(y - 30, x - 36) < 11
    pixels[hole] = 0
    view = View(pixels.astype(np.float32), hole)
    level = levels_of(view, coarsest_radius=20.0, texture=12.0)[-1]
    assert 200 < len(level.targets) <= MOST_TARGETS
    level.foreign = rng.integers(0, 4000, len(level.image)).astype(np.int32) if foreign else None
    return level


@dataclass(frozen=True)
class DrawnTo:
    """What a denoiser says, with its last value drawn to the texture of the rows."""

    patches: PatchDenoiser
    row_texture: np.ndarray
    focus: float
    sees_known = True

    def __call__(self, *asked: object) -> np.ndarray:
        clean = self.patches(*asked)
        clean[:, -1] = (1 - self.focus) * clean[:, -1] + self.focus * self.row_texture
        return clean


@pytest.mark.parametrize("colours", [1, 3, 4])
@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("focus", [0, 0.4])
def test_it_is_the_loop_step_for_step(colours: int, foreign: bool, focus: float) -> None:
    """And where that is asked for, the texture is drawn to that of the rows."""
    level, recipe = a_level(colours, foreign=foreign), Recipe()
    start = smooth_start(level)
    field = random_field(level, np.random.default_rng(0))
    sigmas, reach = geometric(0.4, 0.04, 9), 30
    found, values = paint_small(level, field.copy(), start, sigmas, recipe, np.random.default_rng(5), reach, focus)
    cost = level.cost.copy()

    rng = np.random.default_rng(5)
    noise = rng.standard_normal((9, len(start), colours), np.float32)
    seeds = rng.integers(1, 1 << 31, recipe.first_sweeps + 8 * recipe.sweeps)
    replay = Replay(noise, seeds)
    level.cost = np.zeros_like(level.cost)
    denoiser = PatchDenoiser(level, field, recipe, replay, WORKERS, sigmas=sigmas, reach=reach)
    drawn = DrawnTo(denoiser, level.row_texture, focus) if focus and colours < 4 else denoiser
    estimates = list(walk(drawn, denoiser, start, sigmas, ColourNoise(replay, colours)))
    assert np.array_equal(found, denoiser.field)
    assert np.array_equal(cost[level.targets], level.cost[level.targets])
    assert estimates[-1] is not None
    assert np.abs(values - estimates[-1]).max() < 1e-5
    assert not np.allclose(values, start), "nothing was painted"


def test_the_median_is_the_lower_one_of_numpy() -> None:
    cost = np.random.default_rng(0).integers(0, 1000, 40).astype(np.int32)
    for count in (1, 2, 7, 40):
        targets = np.arange(count, dtype=np.int32)
        assert median(cost, targets) == np.quantile(cost[:count], 0.5, method="lower")


def test_stopping_between_starts_ends_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    running, begun = threading.Semaphore(0), []

    def slowly(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        begun.append(threading.current_thread())
        running.release()
        time.sleep(0.05)
        return paint_small(*arguments)

    monkeypatch.setattr(patch, "paint_small", slowly)
    hole = np.zeros((200, 200), bool)
    hole[80:120, 80:120] = True
    pixels = np.random.default_rng(0).normal(0, 0.3, (200, 200, 3)).astype(np.float32)
    engine = patch.PatchEngine(registry.load("patch").info, recipe=Recipe(starts=16), threads=2)
    steps = engine.fill(View(np.where(hole[:, :, None], 0, pixels).astype(np.float32), hole), seed=0)
    while not begun:
        next(steps)
    levels_per_start = 4
    steps.close()
    time.sleep(0.2)
    after = len(begun)
    time.sleep(0.3)
    assert len(begun) == after, "somebody still paints"
    assert after < 16 * levels_per_start / 2
