"""What fits its surroundings is judged better than what does not."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.judge import misfit

HOLE = np.zeros((90, 110), bool)
HOLE[30:60, 40:75] = True


def striped(phase: float = 0.0) -> np.ndarray:
    x = np.arange(110, dtype=np.float32)
    wave = 0.5 * np.sin(x / 2 + phase)
    grain = 0.05 * np.random.default_rng(1).standard_normal((90, 110, 3), np.float32)
    return wave[None, :, None] + grain


def refilled(filling: np.ndarray | float) -> float:
    return misfit(np.where(HOLE[:, :, None], filling, striped()).astype(np.float32), HOLE)


def test_the_truth_fits_better_than_anything_else():
    fillings = {
        "truth": striped(),
        "another phase": striped(1.0),
        "flat": 0.0,
        "turned": np.pad(striped()[:, :90].swapaxes(0, 1), ((0, 0), (0, 20), (0, 0)), mode="wrap"),
        "darker": striped() - 0.3,
        "blurred": 0.3 * striped(),
    }
    found = {name: refilled(filling) for name, filling in fillings.items()}
    fitting = {found.pop("truth"), found.pop("another phase")}
    assert max(fitting) < 0.7 * min(found.values())


def test_a_larger_error_fits_worse():
    found = [refilled(striped() + error) for error in (0.0, 0.1, 0.2, 0.4)]
    assert found == sorted(found)


def test_it_grows_in_proportion_to_a_difference_in_brightness():
    pixels = np.where(HOLE[:, :, None], np.float32(0.5), np.float32(0.0))
    alone = misfit(pixels, HOLE)
    assert misfit(2 * pixels, HOLE) == pytest.approx(2 * alone, rel=1e-5)


def test_nothing_to_compare_is_no_misfit():
    for hole in (np.zeros((40, 40), bool), np.ones((40, 40), bool), np.eye(40, dtype=bool)):
        assert np.isfinite(misfit(np.zeros((40, 40, 3), np.float32), hole))
    assert misfit(np.zeros((5, 5, 1), np.float32), np.ones((5, 5), bool)) == 0
