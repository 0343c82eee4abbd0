"""Grain is added where a filling has less of it than its surroundings, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.engines.film import _deviation, with_grain

HOLE = np.zeros((120, 140), bool)
HOLE[40:85, 45:100] = True


def photo(grain: float, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:120, :140]
    slope = 0.4 * np.stack([x / 140, y / 120, (x + y) / 260], axis=2)
    return (slope + grain * np.random.default_rng(seed).standard_normal(slope.shape)).astype(np.float32)


def filled(filling: np.ndarray, around: np.ndarray) -> np.ndarray:
    return np.where(HOLE[:, :, None], filling, around).astype(np.float32)


@pytest.mark.parametrize("grain", [0.0, 0.02, 0.1])
def test_the_measure_is_the_noises_deviation_whatever_slope_it_lies_on(grain):
    assert _deviation(photo(grain)).mean() == pytest.approx(grain, rel=0.03, abs=1e-6)


def test_a_smooth_filling_gets_the_grain_of_what_lies_around():
    before = filled(photo(0.0), photo(0.06))
    after = with_grain(before, HOLE, 3)
    found = (after - photo(0.0))[HOLE]
    assert found.std() == pytest.approx(0.06, rel=0.15)
    assert abs(found.mean()) < 0.003
    assert np.array_equal(after[~HOLE], before[~HOLE])
    assert np.array_equal(with_grain(before, HOLE, 3), after)
    assert not np.array_equal(with_grain(before, HOLE, 4), after)


def test_a_filling_with_some_grain_gets_what_is_missing():
    after = with_grain(filled(photo(0.04, 9), photo(0.08)), HOLE, 0)
    assert (after - photo(0.0))[HOLE].std() == pytest.approx(0.08, rel=0.2)


def test_nothing_is_added_to_what_is_grainy_or_where_nothing_is():
    grainy = filled(photo(0.1, 9), photo(0.05))
    assert np.abs(with_grain(grainy, HOLE, 0) - grainy).max() == 0
    clean = filled(photo(0.0), photo(0.0))
    assert with_grain(clean, HOLE, 0) is clean
    alike = filled(photo(0.05, 9), photo(0.05))
    assert (with_grain(alike, HOLE, 0) - alike)[HOLE].std() < 0.02


def test_texture_around_is_not_taken_for_grain():
    y, x = np.mgrid[:120, :140]
    rough = photo(0.0)
    rough[:, :70] += np.where((x + y) % 7 < 3, 0.5, -0.3)[:, :70, None]  # stripes on one side, smooth on the other
    before = filled(photo(0.0), rough)
    assert np.abs(with_grain(before, HOLE, 0) - before).max() < 0.02


def test_holes_without_surroundings_are_left_alone():
    whole = np.ones((30, 30), bool)
    pixels = np.zeros((30, 30, 1), np.float32)
    assert with_grain(pixels, whole, 0) is pixels
    assert with_grain(pixels, ~whole, 0) is pixels
